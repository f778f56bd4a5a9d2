"""Drives a simulated Gemini with ccxt, and checks every value that comes back.

usage: gemini_ccxt.py READY_FILE
"""

import ccxt

from venue import Admin, all_well, ready, refused, same

KEY, SECRET = "account-ccxt", "S" * 40
PAIR = "BTC/USD"


def client(urls, key=KEY, secret=SECRET, nonce="milliseconds"):
    """Returns a client that talks to the venue instead of the real one."""
    exchange = ccxt.gemini({"apiKey": key, "secret": secret, "enableRateLimit": False})
    exchange.options["fetchMarketsFromAPI"]["fetchDetailsForAllSymbols"] = True
    exchange.options["fetchCurrencies"]["webApiEnable"] = False
    exchange.options["nonce"] = nonce
    exchange.has["fetchCurrencies"] = False
    for name in ("public", "private", "web", "webExchange"):
        exchange.urls["api"][name] = urls["url"]
    return exchange


def look_around(exchange):
    market = exchange.load_markets()[PAIR]
    same((market["id"], market["active"], market["spot"]), ("btcusd", True, True))
    same((market["precision"]["price"], market["precision"]["amount"]), (0.01, 0.00000001))
    same(market["limits"]["amount"]["min"], 0.00001)
    ticker = exchange.fetch_ticker(PAIR)
    same((ticker["bid"], ticker["ask"], ticker["last"]), (60000.0, 60010.0, 60000.0))
    balance = exchange.fetch_balance()
    same((balance["USD"]["free"], balance["BTC"]["total"]), (100000.0, 1.0))


def trade(exchange, admin):
    order = exchange.create_order(PAIR, "limit", "buy", 0.1, 60100, {"clientOrderId": "c-1", "timeInForce": "IOC"})
    same((order["clientOrderId"], order["status"], order["filled"]), ("c-1", "closed", 0.1))
    same((order["average"], order["timeInForce"], order["remaining"]), (60010.0, "IOC", 0.0))
    balance = exchange.fetch_balance()
    same((balance["BTC"]["free"], balance["USD"]["free"]), (1.1, 93974.996))

    limit = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"clientOrderId": "c-2"})
    same((limit["status"], limit["price"], limit["timeInForce"]), ("open", 59000.0, "GTC"))
    same(exchange.fetch_balance()["USD"]["used"], 592.36)
    stop = exchange.create_order(PAIR, "limit", "sell", 0.02, 57900, {"triggerPrice": 58000})
    same((stop["info"]["stop_price"], stop["status"]), ("58000", "open"))
    same([order["id"] for order in exchange.fetch_open_orders(PAIR)], [limit["id"], stop["id"]])

    admin.price(PAIR, 58990, 59000, 58990)
    filled = exchange.fetch_order(limit["id"])
    same((filled["status"], filled["average"], filled["clientOrderId"]), ("closed", 59000.0, "c-2"))
    admin.price(PAIR, 57950, 57960, 57950)
    same(exchange.fetch_order(stop["id"])["average"], 57950.0)
    admin.price(PAIR, 60000, 60010, 60000)

    none = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"timeInForce": "IOC"})
    same((none["status"], none["info"]["reason"]), ("canceled", "ImmediateOrCancelWouldPost"))
    none = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"timeInForce": "FOK"})
    same((none["status"], none["info"]["reason"]), ("canceled", "FillOrKillWouldNotFill"))

    trades = exchange.fetch_my_trades(PAIR)
    same([(trade["side"], trade["amount"]) for trade in trades], [("buy", 0.1), ("buy", 0.01), ("sell", 0.02)])
    same(trades[0]["fee"], {"currency": "USD", "cost": 24.004})
    same(trades[0]["order"], order["id"])


def cancel_and_be_refused(exchange, urls):
    order = exchange.create_order(PAIR, "limit", "buy", 0.01, 50000)
    canceled = exchange.cancel_order(order["id"])
    same((canceled["id"], canceled["status"]), (order["id"], "canceled"))
    same(exchange.cancel_order(order["id"])["status"], "canceled")
    make = lambda side, amount, price, params={}: lambda: exchange.create_order(
        PAIR, "limit", side, amount, price, params
    )
    refused(make("buy", 10, 60000), ccxt.InsufficientFunds, "insufficient funds")
    refused(make("sell", 10, 60000), ccxt.InsufficientFunds, "insufficient funds")
    refused(make("buy", 0.000001, 60000), ccxt.InvalidOrder, "Invalid quantity")
    refused(make("buy", 0.01, 57000, {"triggerPrice": 58000}), ccxt.BaseError, "Invalid stop price")
    refused(make("buy", 0.01, 57000, {"timeInForce": "PO"}), ccxt.BadRequest, "is not supported")
    refused(make("buy", 0.01, 57000, {"options": "x"}), ccxt.BadRequest, "must be an array")
    refused(lambda: exchange.fetch_order("1"), ccxt.OrderNotFound, "not found")
    refused(client(urls, secret="wrong").fetch_balance, ccxt.AuthenticationError, "InvalidSignature")
    refused(client(urls, key="account-nobody").fetch_balance, ccxt.AuthenticationError, "InvalidApiKey")
    behind = client(urls)
    behind.load_markets()
    behind.milliseconds = lambda: 1_000
    refused(behind.fetch_balance, ccxt.InvalidNonce, "has not increased")


def carry_the_time(urls, admin):
    account = {"key_id": "account-time", "secret": SECRET, "kind": "spot", "settlement": "USD", "cash": "700"}
    admin.post("/accounts", account)
    exchange = client(urls, "account-time", nonce="seconds")
    exchange.load_markets()
    order = exchange.create_order(PAIR, "limit", "buy", 0.01, 60010)
    same((order["status"], exchange.fetch_balance()["USD"]["free"]), ("closed", 97.4996))
    late = client(urls, "account-time")
    late.load_markets()
    refused(late.fetch_balance, ccxt.InvalidNonce, "is not within 30 seconds")


def main():
    urls = ready()
    admin = Admin(urls)
    admin.open_spot(PAIR, KEY, SECRET, standing={"key": {"counts": True}})
    exchange = client(urls)
    look_around(exchange)
    trade(exchange, admin)
    cancel_and_be_refused(exchange, urls)
    carry_the_time(urls, admin)
    all_well()


if __name__ == "__main__":
    main()
