"""Drives a simulated Kraken with ccxt, and checks every value that comes back.

usage: kraken_ccxt.py READY_FILE
"""

import asyncio
import base64
import logging

import ccxt
import ccxt.pro

from venue import Admin, all_well, ready, refused, same

KEY, SECRET = "K" * 56, base64.b64encode(b"S" * 64).decode()
PAIR = "BTC/USD"


def client(make, urls, secret=SECRET):
    """Returns a client of ccxt that talks to the venue instead of the real one."""
    exchange = make({"apiKey": KEY, "secret": secret, "enableRateLimit": False})
    exchange.urls["api"]["public"] = exchange.urls["api"]["private"] = urls["url"]
    sockets = exchange.urls["api"].get("ws")
    if sockets:
        sockets["public"] = sockets["publicV2"] = urls["ws_url"]
        sockets["private"] = sockets["privateV2"] = urls["ws_auth_url"]
    return exchange


def look_around(exchange):
    market = exchange.load_markets()[PAIR]
    same((market["id"], market["altname"], market["wsId"]), ("XXBTZUSD", "XBTUSD", "XBT/USD"))
    same((market["active"], market["spot"], market["margin"]), (True, True, False))
    same((market["precision"]["price"], market["precision"]["amount"]), (0.1, 0.00000001))
    same((market["limits"]["amount"]["min"], market["limits"]["cost"]["min"]), (0.00005, 0.5))
    same(abs(exchange.fetch_time() - exchange.milliseconds()) < 5000, True)
    same(exchange.fetch_status()["status"], "ok")
    ticker = exchange.fetch_ticker(PAIR)
    same((ticker["bid"], ticker["ask"], ticker["last"]), (60000.0, 60010.0, 60000.0))
    balance = exchange.fetch_balance()
    same((balance["USD"]["free"], balance["BTC"]["total"]), (100000.0, 1.0))


def trade_every_type(exchange, admin):
    made = exchange.create_order(PAIR, "market", "buy", 0.1, None, {"clientOrderId": "cmarket"})
    order = exchange.fetch_order(made["id"])
    same((order["clientOrderId"], order["status"], order["filled"]), ("cmarket", "closed", 0.1))
    same((order["average"], order["cost"], float(order["fee"]["cost"])), (60010.0, 6001.0, 15.0025))
    same((order["fee"]["currency"], len(order["trades"])), ("USD", 1))
    balance = exchange.fetch_balance()
    same((balance["BTC"]["free"], balance["USD"]["free"]), (1.1, 93983.9975))

    limit = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"clientOrderId": "climit"})
    same((limit["side"], limit["type"], limit["price"]), ("buy", "limit", 59000.0))
    same(exchange.fetch_balance()["USD"]["used"], 591.475)
    by_name = exchange.fetch_open_orders(PAIR, None, None, {"clientOrderId": "climit"})
    same([(found["id"], found["remaining"]) for found in by_name], [(limit["id"], 0.01)])

    stop = exchange.create_order(PAIR, "limit", "sell", 0.02, 57900, {"stopLossPrice": 58000})
    stop_market = exchange.create_order(PAIR, "market", "sell", 0.02, None, {"stopLossPrice": 57950})
    gain = exchange.create_order(PAIR, "market", "sell", 0.03, None, {"takeProfitPrice": 62000})
    trailing = exchange.create_order(PAIR, "market", "sell", 0.04, None, {"trailingPercent": "2"})
    amount = exchange.create_order(PAIR, "market", "sell", 0.05, None, {"trailingAmount": "9000"})
    fetched = exchange.fetch_order(stop["id"])
    same((fetched["info"]["descr"]["ordertype"], fetched["stopLossPrice"]), ("stop-loss-limit", 58000.0))
    same((fetched["price"], fetched["status"]), (57900.0, "open"))
    same(exchange.fetch_order(trailing["id"])["info"]["descr"]["price"], "+2.0000%")
    same(exchange.fetch_order(amount["id"])["info"]["descr"]["price"], "+9000.0")
    same(len(exchange.fetch_open_orders(PAIR)), 6)

    admin.price(PAIR, 62000, 62010, 62000)
    same(exchange.fetch_order(gain["id"])["average"], 62000.0)
    admin.price(PAIR, 60760, 60770, 60760)
    same(exchange.fetch_order(trailing["id"])["average"], 60760.0)
    admin.price(PAIR, 58990, 59000, 58990)
    filled = exchange.fetch_order(limit["id"])
    same((filled["status"], filled["average"]), ("closed", 59000.0))
    admin.price(PAIR, 57890, 57895, 57890)
    same(exchange.fetch_order(stop_market["id"])["average"], 57890.0)
    same(exchange.fetch_order(stop["id"])["status"], "open")
    admin.price(PAIR, 60000, 60010, 60000)
    same(exchange.fetch_order(stop["id"])["status"], "closed")
    exchange.cancel_order(amount["id"])
    canceled = exchange.fetch_order(amount["id"])
    same((canceled["status"], canceled["info"]["reason"]), ("canceled", "User requested"))

    trades = exchange.fetch_my_trades(PAIR)
    same(len(trades), 6)
    maker = next(trade for trade in trades if trade["order"] == limit["id"])
    same((maker["takerOrMaker"], maker["fee"]["cost"], maker["fee"]["currency"]), ("maker", 1.475, "USD"))
    closed = exchange.fetch_closed_orders(PAIR)
    same(sorted(order["status"] for order in closed), ["canceled"] + ["closed"] * 6)


def cancel_and_be_refused(exchange, admin, urls):
    order = exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, {"clientOrderId": "cagain"})
    twice = lambda: exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, {"clientOrderId": "cagain"})
    refused(twice, ccxt.BaseError, "EGeneral:Invalid arguments:cl_ord_id not unique")
    exchange.cancel_order(None, PAIR, {"clientOrderId": "cagain"})
    refused(lambda: exchange.cancel_order(order["id"]), ccxt.OrderNotFound, "EOrder:Unknown order")
    again = exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, {"clientOrderId": "cagain"})
    same(again["id"] != order["id"], True)
    exchange.cancel_order(again["id"])

    buy = lambda amount, price: lambda: exchange.create_order(PAIR, "limit", "buy", amount, price)
    refused(buy(10, 60000), ccxt.InsufficientFunds, "EOrder:Insufficient funds")
    refused(buy(0.00005, 9000), ccxt.BaseError, "EOrder:Cost minimum not met")
    small = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.00001"}
    refused(lambda: exchange.privatePostAddOrder(small), ccxt.BaseError, "EOrder:Order minimum not met")
    named = {"clientOrderId": "No_Such_Name"}
    odd = lambda: exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, named)
    refused(odd, ccxt.BaseError, "EGeneral:Invalid arguments:cl_ord_id")
    nowhere = {"pair": "NOPEUSD", "type": "buy", "ordertype": "market", "volume": "1"}
    refused(lambda: exchange.privatePostAddOrder(nowhere), ccxt.BaseError, "EQuery:Unknown asset pair")
    stranger = client(ccxt.kraken, urls, base64.b64encode(b"wrong").decode())
    refused(stranger.fetch_balance, ccxt.ExchangeError, "EAPI:Invalid signature")
    late = client(ccxt.kraken, urls)
    late.load_markets()
    late.incrementing_nonce = lambda: 1
    refused(late.fetch_balance, ccxt.InvalidNonce, "EAPI:Invalid nonce")
    admin.post("/limits", {"pool": "requests", "bounds": [{"count": "leak", "most": "2", "per_second": "0.01"}]})
    same(exchange.fetch_balance()["USD"]["used"], 0.0)
    refused(lambda: exchange.fetch_my_trades(PAIR), ccxt.DDoSProtection, "EAPI:Rate limit exceeded")
    admin.post("/limits", {"pool": "requests", "bounds": []})


async def until_status(exchange, order, status):
    """Waits for news of an order."""
    while True:
        seen = [news for news in await exchange.watch_orders() if news["id"] == order["id"]]
        if seen and seen[-1]["status"] == status:
            return seen[-1]


async def listen(urls, admin):
    exchange = client(ccxt.pro.kraken, urls)
    # ccxt prints nothing of its own then.
    logging.disable(logging.CRITICAL)
    try:
        await exchange.load_markets()
        waiting = asyncio.ensure_future(exchange.watch_orders())
        await admin.listening(KEY)
        made = await exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"clientOrderId": "cws"})
        seen = (await waiting)[-1]
        same((seen["id"], seen["status"]), (made["id"], "open"))
        ended = asyncio.ensure_future(until_status(exchange, made, "canceled"))
        await exchange.cancel_order(made["id"])
        same((await ended)["info"]["reason"], "User requested")

        trades = asyncio.ensure_future(exchange.watch_my_trades())
        await asyncio.sleep(0)
        sold = await exchange.create_order(PAIR, "market", "sell", 0.01)
        trade = (await trades)[-1]
        same((trade["symbol"], trade["side"], trade["amount"], trade["price"]), (PAIR, "sell", 0.01, 60000.0))
        same((trade["fee"]["cost"], trade["fee"]["currency"]), (1.5, "USD"))
        bought = asyncio.ensure_future(exchange.watch_my_trades())
        await asyncio.sleep(0)
        await exchange.create_order(PAIR, "market", "buy", 0.01)
        same((await bought)[-1]["side"], "buy")
        same((await exchange.fetch_order(sold["id"]))["status"], "closed")

        ticker = asyncio.ensure_future(exchange.watch_ticker(PAIR))
        seen = await ticker
        same((seen["symbol"], seen["bid"], seen["ask"]), (PAIR, 60000.0, 60010.0))
        ticker = asyncio.ensure_future(exchange.watch_ticker(PAIR))
        await asyncio.sleep(0)
        admin.price(PAIR, 60001, 60011)
        seen = await ticker
        same((seen["bid"], seen["ask"]), (60001.0, 60011.0))
    finally:
        await exchange.close()


def main():
    urls = ready()
    admin = Admin(urls)
    admin.open_spot(PAIR, KEY, SECRET)
    for pool in ("requests", "orders", "public"):
        admin.post("/limits", {"pool": pool, "bounds": []})
    exchange = client(ccxt.kraken, urls)
    look_around(exchange)
    trade_every_type(exchange, admin)
    cancel_and_be_refused(exchange, admin, urls)
    asyncio.run(listen(urls, admin))
    all_well()


if __name__ == "__main__":
    main()
