"""A small library of playbooks, with every kind of variable."""

from pathlib import Path

SPEC = """---
argument_specs:
  main:
    short_description: Make tea
    description: [Hot.]
    options:
      tea_kind:
        description: Which C(kind) it is.
        type: str
        choices: [green, black]
        default: green
      tea_name: {description: A word., type: str, required: true}
      tea_sugar: {description: Whether it is sweet., type: bool, default: true}
      tea_cups: {description: How many., type: int, default: 2}
      tea_herbs: {description: What is in it., type: list, elements: str, default: [mint]}
      tea_guests:
        description: Who drinks.
        type: list
        elements: dict
        default: []
        options:
          name: {description: Who., type: str, required: true}
          age: {description: How old., type: int}
          wishes: {description: Anything., type: dict}
      tea_extra: {description: Anything else., type: dict, default: {}}
      tea_wait_s: {description: How long to wait., type: int, default: 300}
      tea_password: {description: Of the pot., type: str, no_log: true}
"""


def library(directory: Path) -> Path:
    """Two playbooks: `tea` takes everything, `files` nothing."""
    meta = directory / "roles/tea/meta"
    meta.mkdir(parents=True)
    (meta / "argument_specs.yml").write_text(SPEC)
    for name in ("tea", "files"):
        (directory / f"{name}.yml").write_text(f"- name: {name}\n  hosts: all\n  roles: [{name}]\n")
    return directory
