"""Changes to many devices: Ansible runs over the fleet's own link."""
