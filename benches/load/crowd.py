#!/usr/bin/env python3
"""A crowd of slow clients on one address: a third says nothing, a third sends half a head, a third takes none of a large answer.

    crowd.py HOST PORT COUNT PATH     says "ready" when all have connected, and holds them until its standard input ends
"""

import resource
import socket
import sys
import time

# All take this long to come, as a crowd does: the kernel's probes of those that take nothing are then spread as well.
ARRIVAL_SECONDS = 3


def main():
    host, port, count, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    whole = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    held = []
    for number in range(count):
        client = socket.socket()
        # Little that the kernel takes for it: the server's side fills up.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        if number % 3:
            client.sendall(whole if number % 3 == 1 else whole[: len(whole) // 2])
        held.append(client)
        time.sleep(ARRIVAL_SECONDS / count)
    print("ready", flush=True)
    sys.stdin.read()


main()
