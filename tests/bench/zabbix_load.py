"""Processes that hand values to a Zabbix server as zabbix_sender does, made before the clock starts.

python -m tests.bench.zabbix_load PORT HOSTS METRICS ROUNDS BEGUN GO
"""

import json
import random
import socket
import sys
import threading
import time
from pathlib import Path

CONNECTIONS = 4
VALUES_PER_REQUEST = 3000


def main(port: int, hosts: int, metrics: int, rounds: int, *, begun: Path, go: Path) -> None:
    chance = random.Random(7)
    now = int(time.time())
    values = [
        {"host": f"host{host}", "key": f"m{metric}", "value": f"{chance.gauss(50, 6):.3g}", "clock": now - n, "ns": n}
        for n in range(rounds)
        for host in range(1, hosts + 1)
        for metric in range(1, metrics + 1)
    ]
    requests = []
    for start in range(0, len(values), VALUES_PER_REQUEST):
        data = values[start : start + VALUES_PER_REQUEST]
        body = json.dumps({"request": "sender data", "data": data}, separators=(",", ":")).encode()
        requests.append((len(data), b"ZBXD\x01" + len(body).to_bytes(8, "little") + body))
    begun.write_text("")
    while not go.exists():
        time.sleep(0.01)
    failed: list[bytes] = []

    def send(some: list[tuple[int, bytes]]) -> None:
        for count, request in some:
            with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
                connection.sendall(request)
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
            if f"processed: {count}; failed: 0".encode() not in answer:
                failed.append(answer)

    threads = [threading.Thread(target=send, args=(requests[n::CONNECTIONS],)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]), begun=Path(sys.argv[5]), go=Path(sys.argv[6]))
