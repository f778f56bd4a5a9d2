"""Drives a simulated Coinbase with ccxt, and checks every value that comes back.

usage: coinbase_ccxt.py READY_FILE
"""

import asyncio
import base64
import uuid

import ccxt
import ccxt.pro
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from venue import Admin, all_well, ready, refused, same

PAIR = "BTC/USD"


def client(make, urls, key):
    """Returns a client of ccxt that talks to the venue instead of the real one."""
    name, secret = key
    exchange = make({"apiKey": name, "secret": secret, "enableRateLimit": True})
    exchange.urls["api"]["rest"] = urls["url"]
    exchange.urls["api"]["ws"] = urls["stream_url"]
    exchange.options["fetchBalance"] = "v3PrivateGetBrokerageAccounts"
    return exchange


def look_around(exchange):
    market = exchange.load_markets()[PAIR]
    same((market["id"], market["active"], market["spot"]), ("BTC-USD", True, True))
    same((market["precision"]["price"], market["precision"]["amount"]), (0.01, 1e-08))
    same((market["limits"]["cost"]["min"], market["limits"]["amount"]["max"]), (1.0, 3400.0))
    same(market["taker"], 0.006)
    time = exchange.fetch_time({"method": "v3PublicGetBrokerageTime"})
    same(abs(time - exchange.milliseconds()) < 5000, True)
    ticker = exchange.fetch_bids_asks([PAIR])[PAIR]
    same((ticker["bid"], ticker["ask"]), (60000.0, 60010.0))
    balance = exchange.fetch_balance()
    same((balance["USD"]["free"], balance["BTC"]["total"]), (100000.0, 1.0))
    rights = exchange.v3_private_get_brokerage_key_permissions()
    same((rights["can_trade"], rights["can_transfer"]), (True, False))


def trade_every_type(exchange, admin):
    name = str(uuid.uuid4())
    spent = exchange.create_order(PAIR, "market", "buy", 0, None, {"cost": 6001, "client_order_id": name})
    same(spent["clientOrderId"], name)
    filled = exchange.fetch_order(spent["id"], PAIR)
    same((filled["status"], filled["filled"], filled["average"]), ("closed", 0.1, 60010.0))
    same((filled["cost"], filled["fee"]["cost"], filled["fee"]["currency"]), (6001.0, "36.006", "USD"))
    balance = exchange.fetch_balance()
    same((balance["BTC"]["free"], balance["USD"]["free"]), (1.1, 93962.994))
    again = exchange.create_order(PAIR, "market", "buy", 0, None, {"cost": 1, "client_order_id": name})
    same(again["id"], spent["id"])

    sold = exchange.create_order(PAIR, "market", "sell", 0.1)
    same(exchange.fetch_order(sold["id"], PAIR)["average"], 60000.0)

    limit = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000)
    fetched = exchange.fetch_order(limit["id"], PAIR)
    same((fetched["status"], fetched["price"], fetched["amount"]), ("open", 59000.0, 0.01))
    same(exchange.fetch_balance()["USD"]["used"], 593.54)
    maker = exchange.create_order(PAIR, "limit", "sell", 0.01, 61000, {"postOnly": True})
    same(exchange.fetch_order(maker["id"], PAIR)["postOnly"], True)
    stop = exchange.create_order(PAIR, "limit", "sell", 0.02, 57900, {"stopLossPrice": 58000})
    gain = exchange.create_order(PAIR, "limit", "sell", 0.03, 61500, {"takeProfitPrice": 62000})
    at_once = exchange.create_order(PAIR, "limit", "buy", 0.01, 59500, {"timeInForce": "IOC"})
    same(exchange.fetch_order(at_once["id"], PAIR)["status"], "canceled")
    whole = exchange.create_order(PAIR, "limit", "buy", 0.01, 59500, {"timeInForce": "FOK"})
    same(exchange.fetch_order(whole["id"], PAIR)["filled"], 0.0)
    fetched = exchange.fetch_order(stop["id"], PAIR)
    same((fetched["triggerPrice"], fetched["price"], fetched["status"]), (58000.0, 57900.0, "open"))
    same(len(exchange.fetch_open_orders(PAIR)), 4)

    admin.price(PAIR, 62000, 62010, 62000)
    same(exchange.fetch_order(gain["id"], PAIR)["average"], 62000.0)
    same(exchange.fetch_order(maker["id"], PAIR)["average"], 62000.0)
    admin.price(PAIR, 57950, 57960, 57950)
    same(exchange.fetch_order(limit["id"], PAIR)["average"], 57960.0)
    same(exchange.fetch_order(stop["id"], PAIR)["average"], 57950.0)
    admin.price(PAIR, 60000, 60010, 60000)

    trades = exchange.fetch_my_trades(PAIR)
    same(len(trades), 6)
    maker_trade = next(trade for trade in trades if trade["order"] == maker["id"])
    same((maker_trade["takerOrMaker"], maker_trade["fee"]["cost"]), ("maker", 3.72))
    listed = exchange.fetch_orders(PAIR)
    same((len(listed), listed[0]["id"]), (8, spent["id"]))


def cancel_and_be_refused(exchange, urls):
    order = exchange.create_order(PAIR, "limit", "buy", 0.01, 50000)
    same(exchange.cancel_order(order["id"], PAIR)["id"], order["id"])
    same(exchange.fetch_order(order["id"], PAIR)["status"], "canceled")
    refused(lambda: exchange.cancel_order(order["id"], PAIR), ccxt.BadRequest, "failed")
    much = {"cost": 1_000_000}
    refused(lambda: exchange.create_order(PAIR, "market", "buy", 0, None, much), ccxt.InsufficientFunds, "Insufficient")
    high = {"stopLossPrice": 70000}
    late = lambda: exchange.create_order(PAIR, "limit", "sell", 0.01, 50000, high)
    refused(late, ccxt.InvalidOrder, "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE")
    refused(lambda: exchange.create_order(PAIR, "limit", "buy", 0.00001, 50000), ccxt.BaseError, "TOO_SMALL")
    nobodys = str(uuid.uuid4())
    refused(lambda: exchange.fetch_order(nobodys, PAIR), ccxt.BaseError, "was not found")
    stranger = client(ccxt.coinbase, urls, (exchange.apiKey, make_p256()[0]))
    stranger.markets = exchange.markets
    stranger.markets_by_id = exchange.markets_by_id
    refused(lambda: stranger.v3_private_get_brokerage_key_permissions(), ccxt.AuthenticationError, "")


def make_p256():
    """Returns a private key as Coinbase gives it out, and its public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def make_ed25519():
    """Returns a private key as Coinbase gives it out, and its public half."""
    key = Ed25519PrivateKey.generate()
    seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key()
    both = base64.b64encode(seed + public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    return both, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sign_with_the_other_kind(urls, admin):
    private, public = make_ed25519()
    name = str(uuid.uuid4())
    account = {"name": "other", "key_id": name, "secret": public, "kind": "spot", "settlement": "USD", "cash": "5"}
    admin.post("/accounts", account)
    exchange = client(ccxt.coinbase, urls, (name, private))
    same(exchange.fetch_balance()["USD"]["total"], 5.0)


async def listen(urls, key, admin):
    exchange = client(ccxt.pro.coinbase, urls, key)
    try:
        await exchange.load_markets()
        first = asyncio.ensure_future(exchange.watch_ticker(PAIR))
        ticker = await asyncio.wait_for(first, 10)
        same((ticker["bid"], ticker["ask"]), (60000.0, 60010.0))
        news = asyncio.ensure_future(exchange.watch_orders(PAIR))
        while not any(name.startswith("user") for one in exchange.clients.values() for name in one.subscriptions):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        order = await exchange.create_order(PAIR, "limit", "buy", 0.01, 50000)
        told = await asyncio.wait_for(news, 10)
        same((told[-1]["id"], told[-1]["status"]), (order["id"], "open"))
        news = asyncio.ensure_future(exchange.watch_orders(PAIR))
        await asyncio.sleep(0.05)
        await exchange.cancel_order(order["id"], PAIR)
        told = await asyncio.wait_for(news, 10)
        same((told[-1]["id"], told[-1]["status"]), (order["id"], "canceled"))
    finally:
        await exchange.close()


def main():
    urls = ready()
    admin = Admin(urls)
    private, public = make_p256()
    name = "organizations/00000000-0000-0000-0000-000000000001/apiKeys/00000000-0000-0000-0000-000000000002"
    admin.open_spot(PAIR, name, public, name="one")
    exchange = client(ccxt.coinbase, urls, (name, private))
    look_around(exchange)
    trade_every_type(exchange, admin)
    cancel_and_be_refused(exchange, urls)
    sign_with_the_other_kind(urls, admin)
    asyncio.run(listen(urls, (name, private), admin))
    all_well()


if __name__ == "__main__":
    main()
