"""Drives a simulated Bybit with ccxt, and checks every value that comes back.

usage: bybit_ccxt.py READY_FILE
"""

import ccxt

from venue import Admin, all_well, ready, refused, same

KEY, SECRET = "KEYccxt0001", "S" * 36
PAIR = "BTC/USDT"


def client(urls, key=KEY, secret=SECRET):
    """Returns a client that talks to the venue instead of the real one."""
    exchange = ccxt.bybit({"apiKey": key, "secret": secret, "enableRateLimit": False})
    exchange.options["fetchMarkets"] = {"types": ["spot"]}
    exchange.options["enableUnifiedMargin"] = False
    exchange.options["enableUnifiedAccount"] = True
    exchange.has["fetchCurrencies"] = False
    for name in ("spot", "futures", "v2", "public", "private"):
        exchange.urls["api"][name] = urls["url"]
    return exchange


def look_around(exchange):
    exchange.fetch_time()
    market = exchange.load_markets()[PAIR]
    same((market["id"], market["active"], market["spot"]), ("BTCUSDT", True, True))
    same((market["precision"]["price"], market["precision"]["amount"]), (0.01, 0.000001))
    same(market["limits"]["cost"]["min"], 5.0)
    ticker = exchange.fetch_ticker(PAIR)
    same((ticker["bid"], ticker["ask"], ticker["last"]), (60000.0, 60010.0, 60000.0))
    balance = exchange.fetch_balance()
    same((balance["USDT"]["free"], balance["BTC"]["total"]), (100000.0, 1.0))


def shown(exchange, order):
    return exchange.fetch_order(order["id"], PAIR, {"acknowledged": True})


def trade(exchange, admin):
    # The answer to an order is an acknowledgement: it has an id, and says nothing else.
    order = exchange.create_order(PAIR, "market", "buy", 0.1, None, {"clientOrderId": "c-1"})
    same((order["clientOrderId"], order["status"], order["filled"]), ("c-1", None, None))
    found = shown(exchange, order)
    same((found["clientOrderId"], found["status"], found["filled"]), ("c-1", "closed", 0.1))
    same((found["average"], found["side"], found["type"]), (60010.0, "buy", "market"))
    same(exchange.fetch_balance()["BTC"]["free"], 1.0999)
    # Without its unit, the quantity of a purchase is money.
    spent = exchange.create_order(PAIR, "market", "buy", 0.01, 60010, {"clientOrderId": "c-2"})
    same(round(shown(exchange, spent)["cost"], 2), 600.1)
    sold = exchange.create_order(PAIR, "market", "sell", 0.1, None, {"clientOrderId": "c-3"})
    same((shown(exchange, sold)["average"], shown(exchange, sold)["status"]), (60000.0, "closed"))

    limit = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"clientOrderId": "c-4"})
    found = shown(exchange, limit)
    same((found["status"], found["price"], found["timeInForce"]), ("open", 59000.0, "GTC"))
    same(exchange.fetch_balance()["USDT"]["used"], 590.0)
    waits = {"triggerPrice": 58000, "orderFilter": "tpslOrder"}
    stop = exchange.create_order(PAIR, "market", "sell", 0.02, None, {**waits, "clientOrderId": "c-5"})
    limited = exchange.create_order(PAIR, "limit", "sell", 0.03, 57990, waits)
    same((shown(exchange, stop)["triggerPrice"], shown(exchange, stop)["status"]), (58000.0, "open"))
    same(exchange.fetch_balance()["BTC"]["used"], 0.05)

    admin.price(PAIR, 58990, 59000, 58990)
    found = shown(exchange, limit)
    same((found["status"], found["average"], found["clientOrderId"]), ("closed", 59000.0, "c-4"))
    admin.price(PAIR, 57950, 57960, 57950)
    same((shown(exchange, stop)["average"], shown(exchange, stop)["status"]), (57950.0, "closed"))
    same(shown(exchange, limited)["status"], "open")
    admin.price(PAIR, 60000, 60010, 60000)
    same((shown(exchange, limited)["average"], shown(exchange, limited)["status"]), (60000.0, "closed"))

    none = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"timeInForce": "IOC"})
    same((shown(exchange, none)["status"], shown(exchange, none)["filled"]), ("canceled", 0.0))
    none = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"timeInForce": "FOK"})
    same((shown(exchange, none)["status"], shown(exchange, none)["timeInForce"]), ("canceled", "FOK"))

    trades = exchange.fetch_my_trades(PAIR)
    sides = [trade["side"] for trade in trades]
    same(sides, ["buy", "buy", "sell", "buy", "sell", "sell"])
    same((trades[0]["fee"]["currency"], trades[0]["fee"]["cost"], trades[0]["order"]), ("BTC", 0.0001, order["id"]))
    same((trades[2]["fee"]["currency"], trades[2]["fee"]["cost"]), ("USDT", 6.0))
    closed = exchange.fetch_canceled_and_closed_orders(PAIR)
    same((len(closed), len(exchange.fetch_open_orders(PAIR))), (8, 8))


def cancel_and_be_refused(exchange, urls):
    order = exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, {"clientOrderId": "c-6"})
    same(exchange.cancel_order(order["id"], PAIR)["id"], order["id"])
    same(shown(exchange, order)["status"], "canceled")
    waits = {"triggerPrice": 58000, "orderFilter": "tpslOrder"}
    stop = exchange.create_order(PAIR, "market", "sell", 0.02, None, waits)
    refused(lambda: exchange.cancel_order(stop["id"], PAIR), ccxt.BaseError, "170213")
    exchange.cancel_order(stop["id"], PAIR, {"orderFilter": "tpslOrder"})
    same(shown(exchange, stop)["status"], "canceled")
    refused(lambda: exchange.cancel_order(order["id"], PAIR), ccxt.BaseError, "170142")

    make = lambda side, amount, price, params={}: lambda: exchange.create_order(
        PAIR, "limit", side, amount, price, params
    )
    refused(make("buy", 10, 60000), ccxt.InsufficientFunds, "Insufficient balance")
    refused(make("sell", 10, 60000), ccxt.InsufficientFunds, "Insufficient balance")
    refused(make("buy", 0.00001, 60000), ccxt.InvalidOrder, "lower limit")
    refused(make("buy", 0.01, 50000, {"clientOrderId": "c-1"}), ccxt.BaseError, "170141")
    refused(make("buy", 0.01, 50000, {"clientOrderId": "a b"}), ccxt.BaseError, "170130")
    refused(make("buy", 0.01, 60020, {"timeInForce": "PostOnly"}), ccxt.BaseError, "170218")
    refused(make("buy", 0.01, 50000, {"isLeverage": 1}), ccxt.BaseError, "isLeverage")
    refused(make("buy", 0.01, 50000, {"surprise": "x"}), ccxt.BaseError, "surprise is not known")
    odd = {"symbol": "NOPEUSDT", "category": "spot", "side": "Buy", "orderType": "Market", "qty": "1"}
    refused(lambda: exchange.private_post_v5_order_create(odd), ccxt.BaseError, "170121")
    refused(client(urls, secret="wrong").fetch_balance, ccxt.AuthenticationError, "error sign")
    refused(client(urls, key="nobody").fetch_balance, ccxt.AuthenticationError, "API key is invalid")
    behind = client(urls)
    behind.nonce = lambda: 1_000
    refused(behind.fetch_balance, ccxt.InvalidNonce, "server timestamp")


def main():
    urls = ready()
    admin = Admin(urls)
    admin.open_spot(PAIR, KEY, SECRET)
    exchange = client(urls)
    look_around(exchange)
    trade(exchange, admin)
    cancel_and_be_refused(exchange, urls)
    all_well()


if __name__ == "__main__":
    main()
