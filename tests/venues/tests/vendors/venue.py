"""What every script needs: the venue's administration, and checks that say what was wrong."""

import asyncio
import json
import sys
import time
import urllib.request


def same(got, wanted):
    """Checks that two values are equal."""
    if got != wanted:
        raise AssertionError(f"{got!r} is not {wanted!r}")


def until(what, is_it):
    """Waits up to ten seconds for something to be true, and returns it."""
    end = time.monotonic() + 10
    while not (got := is_it()):
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)
    return got


def refused(call, kind, words):
    """Checks that a call is refused as this kind of error, in words like these."""
    try:
        call()
    except kind as error:
        if words not in str(error):
            raise AssertionError(f"{error!r} does not say {words!r}") from error
    else:
        raise AssertionError(f"{words!r} was not refused")


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

    def open_spot(self, pair, key, secret, **more):
        """Opens an account of 100,000 in money and of one coin, which is at 60,000."""
        settlement = pair.split("/")[1]
        account = {"name": key, "key_id": key, "secret": secret, "kind": "spot", "settlement": settlement}
        self.post("/accounts", {**account, "cash": "100000", "holdings": {pair: "1"}, **more})
        self.price(pair, 60000, 60010, 60000)

    async def listening(self, account):
        """Waits until somebody listens to news of an account's orders."""
        while self.get(f"/streams?account={account}")["orders"] == 0:
            await asyncio.sleep(0.01)

    async def told(self, pair, watching):
        """Moves a price, between 60,010 and 60,011, until it is told; returns what is."""
        tenths = 0
        while not watching.done():
            tenths += 1
            self.price(pair, 60000, f"60010.{tenths % 9 + 1}")
            await asyncio.sleep(0.02)
        return await watching
