"""What each playbook is tried with on a real device: dry, then for good, then again.

For each trial: put `library` below the controller's library; run `prepare` on the device; run the playbook with
`--check`, after which at least one of `facts` must still fail; run it, after which each of `facts` must succeed; run it
again, which must change nothing unless `always_changes`.  All commands are for `sh -c` as root on the device.
"""

from dataclasses import dataclass, field
from typing import Any

_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBPDCB76ADAgECAhRVLHdpYVl8m9ldjawTfQhclWeWojAFBgMrZXAwEzERMA8G
A1UEAwwIUHJvdmluY2UwIBcNMjYxMTI2MDI0NjE0WhgPMjEyNjExMDIwMjQ2MTRa
MBMxETAPBgNVBAMMCFByb3ZpbmNlMCowBQYDK2VwAyEA4EnUj857IM+44sjwS7LJ
63N/fz6qG4heURh09M3xDzKjUzBRMB0GA1UdDgQWBBSOkoRbo+lA3C9LoHgiZYS8
8PKdITAfBgNVHSMEGDAWgBSOkoRbo+lA3C9LoHgiZYS88PKdITAPBgNVHRMBAf8E
BTADAQH/MAUGAytlcANBAM7PICAyDO05FkyAvWcEml+eRPFYrL35moazUfmU9+cw
flAZqXXw3kGcQBrgxVDTCyxJFkJ9y8HsnDDqoxR6uwc=
-----END CERTIFICATE-----
"""
"""A certificate of an authority whose key was thrown away."""
_USER_AUTHORITY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE/5dqomxYzhsuvI6bW2ZfVLyVE+uzsPv+QtNZsye7Fi"
_PPD = """\
*PPD-Adobe: "4.3"
*FormatVersion: "4.3"
*FileVersion: "1.0"
*LanguageVersion: English
*LanguageEncoding: ISOLatin1
*PCFileName: "SIMPLE.PPD"
*Manufacturer: "Simple"
*Product: "(Simple)"
*ModelName: "Simple"
*ShortNickName: "Simple"
*NickName: "Simple printer"
*PSVersion: "(3010.000) 550"
*LanguageLevel: "3"
*ColorDevice: False
*DefaultColorSpace: Gray
*OpenUI *PageSize/Media Size: PickOne
*OrderDependency: 10 AnySetup *PageSize
*DefaultPageSize: A4
*PageSize A4/A4: "<</PageSize[595 842]>>setpagedevice"
*CloseUI: *PageSize
*OpenUI *PageRegion: PickOne
*OrderDependency: 10 AnySetup *PageRegion
*DefaultPageRegion: A4
*PageRegion A4/A4: "<</PageSize[595 842]>>setpagedevice"
*CloseUI: *PageRegion
*DefaultImageableArea: A4
*ImageableArea A4/A4: "18 18 577 824"
*DefaultPaperDimension: A4
*PaperDimension A4/A4: "595 842"
*DefaultFont: Courier
"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One playbook with what it is told, and what is so afterwards and was not before."""

    name: str
    playbook: str
    variables: dict[str, Any]
    facts: tuple[str, ...]
    prepare: tuple[str, ...] = ()
    library: dict[str, str] = field(default_factory=dict)
    """Path within the library, and content."""
    packages: tuple[str, ...] = ()
    """Packages that the device must have or be able to install; skip the trial, saying so, where it has neither."""
    always_changes: bool = False
    """Whether a second run changes something again, as it was asked to."""


TO_TRY: tuple[Trial, ...] = (
    Trial(
        name="packages",
        playbook="packages",
        variables={
            "packages_absent": ["nano"],
            "packages_held": ["jq"],
            "packages_pins": [{"name": "no-telnet", "package": "telnet", "pin": "release *", "priority": -1}],
        },
        prepare=("dpkg-query --show jq",),
        facts=(
            "apt-mark showhold | grep -qx jq",
            "grep -qx 'Pin-Priority: -1' /etc/apt/preferences.d/annexfleet-no-telnet.pref",
        ),
        packages=("jq",),
    ),
    Trial(
        name="security updates, and no restart without consent",
        playbook="system_updates",
        variables={"system_updates_reboot": "always", "system_updates_held": ["tzdata"]},
        facts=("apt-mark showhold | grep -qx tzdata",),
        packages=("tzdata",),
    ),
    Trial(
        name="a restart that was agreed to",
        playbook="system_updates",
        variables={
            "system_updates_reboot": "if_required",
            "system_updates_reboot_consent_file": "/run/agreed",
            "system_updates_reboot_delay_s": 1,
            "system_updates_reboot_deadline_s": 120,
        },
        # The test devices really restart, and /run is empty then.
        prepare=(
            "cat /proc/sys/kernel/random/boot_id >/etc/boot_id.before",
            "touch /run/reboot-required /run/agreed",
        ),
        facts=(
            "! test -e /run/agreed",
            "! cmp -s /proc/sys/kernel/random/boot_id /etc/boot_id.before",
        ),
    ),
    Trial(
        name="a print queue with a description",
        playbook="printers",
        variables={
            "printers_queues": [
                {
                    "name": "salle",
                    "uri": "ipp://127.0.0.1:9100/ipp/print",
                    "ppd": "printers/simple.ppd",
                    "info": "Imprimante de la salle",
                    "error_policy": "abort-job",
                    "options": {"PageSize": "A4"},
                }
            ],
            "printers_default": "salle",
            "printers_packages": ["cups-daemon", "cups-client"],
        },
        library={"printers/simple.ppd": _PPD},
        facts=(
            "lpstat -v salle | grep -q ipp://127.0.0.1:9100/ipp/print",
            "lpstat -d | grep -q salle",
            "lpoptions -p salle | grep -q \"printer-make-and-model='Simple printer'\"",
        ),
        packages=("cups-daemon", "cups-client"),
    ),
    Trial(
        name="a kiosk in a desktop session",
        playbook="kiosk",
        variables={"kiosk_portal": "https://portail.example/", "kiosk_idle_s": 60},
        facts=(
            "grep -q https://portail.example/ /usr/local/libexec/annexfleet/kiosk",
            "python3 -m json.tool /etc/chromium/policies/managed/annexfleet.json",
            "getent passwd kiosk",
            "test -f /etc/xdg/autostart/annexfleet-kiosk.desktop",
        ),
        packages=("chromium", "xprintidle"),
    ),
    Trial(
        name="time servers",
        playbook="network_time",
        variables={"network_time_servers": ["10.20.0.1", "ntp.example"]},
        facts=("grep -qx 'NTP=10.20.0.1 ntp.example' /etc/systemd/timesyncd.conf.d/annexfleet.conf",),
        packages=("systemd-timesyncd",),
    ),
    Trial(
        name="a firewall that lets SSH in",
        playbook="firewall_baseline",
        variables={
            "firewall_baseline_open": [{"ports": "22", "why": "administration"}],
            "firewall_baseline_trial_s": 60,
        },
        facts=(
            "nft list chain inet annexfleet input | grep -q 'policy drop'",
            "test -f /etc/annexfleet/firewall.nft",
            "grep -qx 'include \"/etc/annexfleet/firewall.nft\"' /etc/nftables.conf",
        ),
        packages=("nftables",),
    ),
    Trial(
        name="a trusted authority",
        playbook="certificates",
        variables={"certificates_present": [{"name": "province", "src": "certificates/province.pem"}]},
        library={"certificates/province.pem": _AUTHORITY},
        facts=("test -L /etc/ssl/certs/annexfleet-province.pem",),
        packages=("ca-certificates", "openssl"),
    ),
    Trial(
        name="a file that is checked",
        playbook="files",
        variables={
            "files_present": [
                {"src": "etc/display.json", "dest": "/etc/display/settings.json", "mode": "0640", "check": "json"}
            ],
            "files_absent": ["/etc/display.old"],
        },
        library={"etc/display.json": '{"counter": 4}\n'},
        prepare=("touch /etc/display.old",),
        facts=(
            'test "$(stat -c %a /etc/display/settings.json)" = 640',
            "! test -e /etc/display.old",
        ),
    ),
    Trial(
        name="certificates open the device",
        playbook="ssh_access",
        variables={
            "annexfleet_ssh_user_ca": _USER_AUTHORITY,
            "ssh_access_passwords": True,  # the trial itself comes in with a plain key
        },
        facts=(
            "sshd -T -C user=root,host=localhost,addr=127.0.0.1"
            " | grep -qx 'trustedusercakeys /etc/ssh/annexfleet/user_ca.pub'",
            "grep -q '^af-run-' /etc/ssh/annexfleet/principals/root",
        ),
        packages=("openssh-server",),
    ),
)
