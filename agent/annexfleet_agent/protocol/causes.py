"""What can trouble a printer, in 32 canonical causes, and how each source of printer states names them."""
