"""What the device is made of."""

import msgspec
import pytest
from tests.agent.collectors.trees import counter_computer, deny, psutil_says, write

from annexfleet_agent.collectors import inventory
from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Inventory

DPKG = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2-1
Description: a shell
 Package: not this one

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36-8
"""


@pytest.fixture
def machine(proc, tmp_path, monkeypatch):
    psutil_says(monkeypatch, cpu_count=4)
    return write(
        counter_computer(tmp_path),
        {
            "/sys/class/dmi/id/sys_vendor": "Lenovo\n",
            "/sys/class/dmi/id/product_name": "ThinkCentre M70\n",
            "/sys/class/dmi/id/board_name": "To be filled by O.E.M.\n",
            "/sys/class/dmi/id/product_serial": "PF1234\n",
            "/sys/class/dmi/id/chassis_type": "3\n",
            "/proc/cpuinfo": "processor : 0\nmodel name : Intel(R)  Core i3\n\nprocessor : 1\nmodel name : other\n",
            "/sys/block/sda/size": "1000215216\n",
            "/sys/block/sda/device/model": "Samsung SSD\n",
            "/sys/block/sdb/size": "100\n",
            "/sys/block/sdb/device/model": "Stick\n",
            "/sys/block/sdb/removable": "1\n",
            "/sys/block/loop0/size": "100\n",
            "/etc/hostname": "karim-desk\n",
            "/var/lib/dpkg/status": DPKG,
        },
    )


def test_hardware_system_and_packages(machine):
    taken = inventory.take(machine)

    assert taken.hardware.pop("architecture")
    assert taken.hardware == {
        "cpu_count": 4,
        "vendor": "Lenovo",
        "model": "ThinkCentre M70",
        "chassis": "desktop",
        "cpu_model": "Intel(R) Core i3",
        "memory_bytes": 8_192_000_000,
        "drives": ["sda 512110190592 Samsung SSD"],
    }
    assert taken.os.pop("python")
    assert taken.os.pop("kernel")
    assert taken.os == {"id": "debian", "version": "12", "name": "Debian GNU/Linux 12"}
    assert taken.packages == {"bash": "5.2-1", "libc6": "2.36-9", "libc6:i386": "2.36-8"}


def test_neither_the_host_name_nor_a_serial_number_leaves_the_device(machine):
    text = msgspec.json.encode(inventory.take(machine)).decode()

    assert "karim" not in text
    assert "PF1234" not in text


def test_the_digest_changes_with_the_machine_and_with_nothing_else(machine):
    before = inventory.take(machine)
    again = inventory.take(machine)
    write(machine, {"/var/lib/dpkg/status": DPKG.replace("5.2-1", "5.2-2")})
    after = inventory.take(machine)
    with_printer = inventory.take(machine, printers=[{"name": "office"}])

    assert before == again
    assert before.digest != after.digest
    assert before.packages_digest != after.packages_digest
    assert after.digest != with_printer.digest
    assert after.packages_digest == with_printer.packages_digest


def test_a_list_too_big_for_the_wire_is_told_by_its_digest_alone(machine):
    paragraph = "Package: p{0:x}\nStatus: install ok installed\nVersion: {1:x}\n"
    many = "\n".join(paragraph.format(number, number**9) for number in range(8000))
    write(machine, {"/var/lib/dpkg/status": many})

    taken = inventory.take(machine)

    assert taken.packages == {}
    assert taken.packages_digest


def test_a_big_desktops_list_fits(machine):
    paragraph = "Package: libsomething-{0}-dev\nStatus: install ok installed\nVersion: 1:{0}.4.2-{0}+deb12u1\n"
    write(machine, {"/var/lib/dpkg/status": "\n".join(paragraph.format(number) for number in range(3000))})
    taken = inventory.take(machine)

    payload = wire.encode(Inventory(seq=1, at=1.0, **{key: getattr(taken, key) for key in taken.__struct_fields__}))

    assert len(taken.packages) == 3000
    assert len(payload) <= wire.MAX_PAYLOAD_BYTES
    assert isinstance(wire.decode_up("inventory", payload), Inventory)


def test_a_system_that_shows_nothing_has_an_inventory_all_the_same(proc, tmp_path, monkeypatch):
    deny(monkeypatch, counter_computer(tmp_path), "/proc", "/sys", "/etc", "/var")

    taken = inventory.take(tmp_path)

    assert taken.digest
    assert taken.packages == {}
    assert taken.packages_digest == ""


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("model name\t: AMD Ryzen 3\n", "AMD Ryzen 3"),
        ("processor\t: 0\nHardware\t: Rockchip RK3399\n", "Rockchip RK3399"),
        ("processor\t: 0\nModel\t\t: Raspberry Pi 4 Model B\n", "Raspberry Pi 4 Model B"),
        ("", ""),
    ],
)
def test_the_processors_name(cpuinfo, model):
    assert inventory.cpu_model(cpuinfo) == model
