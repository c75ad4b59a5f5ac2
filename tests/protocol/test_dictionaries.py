import hashlib

from annexfleet_agent.protocol import dictionaries, messages, wire


def test_a_dictionary_never_changes():
    digests = {version: hashlib.sha256(text).hexdigest() for version, text in dictionaries.BY_VERSION.items()}

    assert digests[1] == "519f74a3e564171c08cfe9db496fa952594be2c8281324965be6ce2aa988712a"
    assert max(digests) == dictionaries.NEWEST


def test_a_dictionary_is_small_enough_to_be_worth_its_memory():
    assert all(len(text) <= 4096 for text in dictionaries.BY_VERSION.values())


def test_a_usual_beat_takes_less_than_300_bytes():
    """What a quiet device-day of 300 KiB allows: 288 beats, with TLS, TCP, topic and answers around each."""
    beat = messages.Beat(
        seq=104_711,
        at=1795416600,
        seconds=300,
        samples=10,
        numbers={
            "": {
                "cpu_used_ratio": messages.Summary(last=0.033, min=0.012, mean=0.041, max=0.161),
                "load_per_cpu_ratio": 0.11,
                "memory_used_ratio": 0.447,
                "swap_used_ratio": 0.012,
                "battery_charge_ratio": 1,
                "temperature_celsius": 58.1,
                "agent_cpu_ratio": 0.0009,
                "agent_memory_bytes": 27400000,
                "outbox_used_ratio": 0,
                "outbox_oldest_age_seconds": 0,
            },
            "disk:/": {"disk_used_ratio": 0.331, "disk_free_bytes": 161000000000},
            "disk:/home": {"disk_used_ratio": 0.62, "disk_free_bytes": 95300000000},
            "net:wlp2s0": {
                "network_received_bytes_per_second": messages.Summary(last=3530, min=170, mean=2210, max=33530),
                "network_sent_bytes_per_second": 641,
                "network_errors_per_second": 0,
                "wifi_signal_dbm": -58,
            },
            "portal:watiqa": {
                "portal_total_seconds": messages.Summary(last=0.403, min=0.255, mean=0.401, max=0.54),
                "portal_dns_seconds": 0.017,
                "portal_tcp_seconds": 0.034,
                "portal_tls_seconds": 0.079,
                "portal_http_seconds": messages.Summary(last=0.29, min=0.11, mean=0.27, max=0.39),
            },
            "printer:hp-guichet": {"printer_jobs_count": 0},
            "printer:kyocera": {"printer_jobs_count": messages.Summary(last=0, min=0, mean=0.2, max=1)},
            "queue:naissance": {
                "queue_waiting_count": messages.Summary(last=4, min=3, mean=3.6, max=4),
                "queue_longest_wait_seconds": messages.Summary(last=422, min=276, mean=361, max=438),
                "queue_served_last_hour_count": 14,
            },
        },
    )

    assert len(wire.encode(beat)) < 300
