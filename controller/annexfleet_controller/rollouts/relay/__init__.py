"""Between Ansible's connection plugin and the runners on devices."""
