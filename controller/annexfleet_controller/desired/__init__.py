"""What devices shall be like: layers of wishes, what they come to for one device, and where devices differ."""
