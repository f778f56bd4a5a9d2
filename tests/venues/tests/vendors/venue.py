"""What every script needs: the venue's administration, and checks that say what was wrong."""

import json
import sys
import time
import urllib.request


def same(got, wanted):
    """Checks that two values are equal."""
    if got != wanted:
        raise AssertionError(f"{got!r} is not {wanted!r}")


def until(what, is_it):
    """Waits up to ten seconds for something to be true."""
    end = time.monotonic() + 10
    while not is_it():
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)


def ready():
    """Returns where to find what, as the venue's ready file says it."""
    with open(sys.argv[1], encoding="utf-8") as file:
        return json.load(file)


def all_well():
    """Says that nothing was wrong."""
    print("all as it should be")


class Admin:
    """What is done to the venue from behind."""

    def __init__(self, urls):
        self.url = urls["admin_url"]

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def price(self, symbol, bid, ask, last=None):
        body = {"symbol": symbol, "bid": str(bid), "ask": str(ask)}
        if last is not None:
            body["last"] = str(last)
        return self.post("/prices", body)
