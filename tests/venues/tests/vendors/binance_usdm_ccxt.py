"""Drives simulated USD-M futures of Binance with ccxt, and checks every value that comes back.

usage: binance_usdm_ccxt.py READY_FILE
"""

import asyncio
import logging

import ccxt
import ccxt.pro

from venue import Admin, all_well, ready, refused, same

KEY, SECRET = "K" * 64, "S" * 64
PAIR, SWAP = "BTC/USDT", "BTC/USDT:USDT"
STOP = {"stop": True}


def client(make, urls, secret=SECRET):
    """Returns a client of ccxt that talks to the venue instead of the real one."""
    exchange = make(
        {
            "apiKey": KEY,
            "secret": secret,
            "enableRateLimit": False,
            "options": {"fetchCurrencies": False, "fetchMargins": False},
        }
    )
    api, at = exchange.urls["api"], urls["url"]
    for kind in ("fapiPublic", "fapiPrivate"):
        for version in ("", "V2", "V3"):
            api[kind + version] = f"{at}/fapi/{(version or 'v1').lower()}"
    api["sapi"] = f"{at}/sapi/v1"
    if "ws" in api:
        api["ws"]["linear"] = at.replace("http", "ws") + "/ws"
    return exchange


def order(exchange, side, kind, amount, price=None, **params):
    return exchange.create_order(SWAP, kind, side, amount, price, params)


def held(exchange):
    """Returns what is held: side, contracts, entry price, unrealized profit."""
    positions = exchange.fetch_positions([SWAP])
    return [(one["side"], one["contracts"], one["entryPrice"], one["unrealizedPnl"]) for one in positions]


def look_around(exchange):
    market = exchange.load_markets()[SWAP]
    same((market["id"], market["swap"], market["linear"], market["active"]), ("BTCUSDT", True, True, True))
    same((market["precision"]["price"], market["precision"]["amount"]), (0.1, 0.001))
    same((market["limits"]["cost"]["min"], market["limits"]["amount"]["max"]), (100.0, 1000.0))
    same(abs(exchange.fetch_time() - exchange.milliseconds()) < 5000, True)
    ticker = exchange.fetch_bids_asks([SWAP])[SWAP]
    same((ticker["bid"], ticker["ask"]), (60000.0, 60010.0))
    same(exchange.fetch_balance()["USDT"], {"free": 100000.0, "used": 0.0, "total": 100000.0})
    same((held(exchange), exchange.fetch_position_mode(SWAP)["hedged"]), ([], False))
    rights = exchange.sapi_get_account_apirestrictions()
    same((rights["enableFutures"], rights["enableWithdrawals"]), (True, False))


def go_long(exchange, admin):
    made = order(exchange, "buy", "market", 0.1, clientOrderId="c-market")
    same((made["clientOrderId"], made["status"], made["filled"]), ("c-market", "closed", 0.1))
    shown = exchange.fetch_order(made["id"], SWAP)
    same((shown["average"], shown["cost"]), (60010.0, 6001.0))
    trade = exchange.fetch_my_trades(SWAP)[0]
    same((trade["order"], trade["amount"], trade["fee"]), (made["id"], 0.1, {"currency": "USDT", "cost": 3.0005}))
    same(held(exchange), [("long", 0.1, 60010.0, -1.0)])
    # The wallet pays commissions, not positions; a half of them is margin at leverage two.
    balance = exchange.fetch_balance()
    same((balance["info"]["totalWalletBalance"], balance["info"]["totalMarginBalance"]), ("99996.99950000", "99995.99950000"))
    same(balance["USDT"]["free"], 99995.9995 - 3000)

    limit = order(exchange, "buy", "limit", 0.01, 59000, clientOrderId="c-limit")
    same((limit["status"], limit["price"], limit["timeInForce"]), ("open", 59000.0, "GTC"))
    by_name = exchange.fetch_order(None, SWAP, {"origClientOrderId": "c-limit"})
    same((by_name["id"], by_name["remaining"]), (limit["id"], 0.01))
    same([one["id"] for one in exchange.fetch_open_orders(SWAP)], [limit["id"]])

    stop = order(exchange, "sell", "market", 0.1, stopLossPrice=58000, reduceOnly=True, clientOrderId="c-stop")
    gain = order(exchange, "sell", "limit", 0.04, 62100, takeProfitPrice=62000, reduceOnly=True)
    trail = order(exchange, "sell", "market", 0.1, trailingPercent=5, reduceOnly=True)
    same((stop["clientOrderId"], stop["status"], stop["triggerPrice"]), ("c-stop", "open", 58000.0))
    same(len(exchange.fetch_open_orders(SWAP, params=STOP)), 3)
    same(len(exchange.fetch_open_orders(SWAP)), 1)
    same(exchange.fetch_order(trail["id"], SWAP, STOP)["info"]["callbackRate"], "5")

    admin.price(PAIR, 62000, 62010, 62000)
    became = exchange.fetch_order(gain["id"], SWAP, STOP)["info"]
    same((became["algoStatus"], became["actualOrderId"] != ""), ("TRIGGERED", True))
    same(exchange.fetch_order(became["actualOrderId"], SWAP)["status"], "open")
    admin.price(PAIR, 62100, 62110, 62100)
    same(exchange.fetch_order(became["actualOrderId"], SWAP)["average"], 62100.0)
    same(held(exchange), [("long", 0.06, 60010.0, 125.4)])
    admin.price(PAIR, 58900, 58910, 58900)
    same(exchange.fetch_order(trail["id"], SWAP, STOP)["info"]["algoStatus"], "FINISHED")
    same(exchange.fetch_order(limit["id"], SWAP)["average"], 58910.0)
    # It sold all there was, which is less than it was for.
    same(held(exchange), [])
    exchange.cancel_order(stop["id"], SWAP, STOP)
    same(exchange.fetch_order(stop["id"], SWAP, STOP)["status"], "canceled")
    refused(lambda: exchange.cancel_order(stop["id"], SWAP, STOP), ccxt.BaseError, "Unknown order sent.")


def go_short(exchange, admin):
    admin.price(PAIR, 60000, 60010, 60000)
    order(exchange, "sell", "market", 0.1)
    same(held(exchange), [("short", 0.1, 60000.0, 0.0)])
    stop = order(exchange, "buy", "market", 0.1, stopLossPrice=61000, reduceOnly=True)
    admin.price(PAIR, 55000, 55010, 55000)
    same(held(exchange), [("short", 0.1, 60000.0, 500.0)])
    order(exchange, "buy", "market", 0.1, reduceOnly=True)
    same(held(exchange), [])
    # Its stop finds nothing to close.
    admin.price(PAIR, 61000, 61010, 61000)
    same(exchange.fetch_order(stop["id"], SWAP, STOP)["info"]["algoStatus"], "REJECTED")
    admin.price(PAIR, 60000, 60010, 60000)


def cancel_and_be_refused(exchange, urls, admin):
    made = order(exchange, "buy", "limit", 0.01, 50000, clientOrderId="c-again")
    again = lambda: order(exchange, "buy", "limit", 0.01, 50000, clientOrderId="c-again")
    refused(again, ccxt.BaseError, "ClientOrderId is duplicated.")
    canceled = exchange.cancel_order(made["id"], SWAP)
    same((canceled["id"], canceled["status"]), (made["id"], "canceled"))
    refused(lambda: exchange.cancel_order(made["id"], SWAP), ccxt.BaseError, "Unknown order sent.")
    again()
    exchange.cancel_all_orders(SWAP)
    same(exchange.fetch_open_orders(SWAP), [])

    refused(lambda: order(exchange, "buy", "market", 10), ccxt.BaseError, "Margin is insufficient.")
    refused(lambda: order(exchange, "sell", "market", 0.1, reduceOnly=True), ccxt.BaseError, "ReduceOnly Order is rejected.")
    refused(lambda: order(exchange, "buy", "limit", 0.001, 60000), ccxt.BaseError, "Order's notional must be no smaller")
    refused(lambda: order(exchange, "buy", "market", 0.1, stopLossPrice=59000), ccxt.BaseError, "would immediately trigger")
    refused(lambda: order(exchange, "buy", "market", 0.1, hedged=True), ccxt.BaseError, "position side does not match")
    raw = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.1", "stopPrice": "50000"}
    refused(lambda: exchange.fapiprivate_post_order(raw), ccxt.BaseError, "-1104")
    del raw["stopPrice"]
    refused(lambda: exchange.fapiprivate_post_order(raw), ccxt.BaseError, "Algo Order API")
    raw.update(type="LIMIT", timeInForce="GTC", price="60000.05")
    refused(lambda: exchange.fapiprivate_post_order(raw), ccxt.BaseError, "Price not increased by tick size.")
    refused(lambda: exchange.fetch_order("999999", SWAP), ccxt.BaseError, "Order does not exist.")
    refused(client(ccxt.binanceusdm, urls, "wrong").fetch_balance, ccxt.AuthenticationError, "Signature for this request")
    same(int(exchange.last_response_headers["X-Mbx-Used-Weight-1m"]) > 0, True)


async def listen(urls, admin):
    exchange = client(ccxt.pro.binanceusdm, urls)
    # ccxt prints nothing of its own then.
    logging.disable(logging.CRITICAL)
    try:
        await exchange.load_markets()
        orders = asyncio.ensure_future(exchange.watch_orders(SWAP))
        await admin.listening(KEY)
        made = await exchange.create_order(SWAP, "limit", "buy", 0.01, 59000, {"clientOrderId": "c-ws"})
        seen = (await orders)[-1]
        same((seen["id"], seen["clientOrderId"], seen["status"]), (made["id"], "c-ws", "open"))
        orders = asyncio.ensure_future(exchange.watch_orders(SWAP))
        await exchange.cancel_order(made["id"], SWAP)
        seen = (await orders)[-1]
        same((seen["id"], seen["status"]), (made["id"], "canceled"))
        orders = asyncio.ensure_future(exchange.watch_orders(SWAP))
        await exchange.create_order(SWAP, "market", "sell", 0.01)
        while (seen := (await orders)[-1])["status"] != "closed":
            orders = asyncio.ensure_future(exchange.watch_orders(SWAP))
        same((seen["filled"], seen["average"]), (0.01, 60000.0))
        kept = await exchange.fapiprivate_put_listenkey()
        same(len(kept["listenKey"]), 64)

        seen = (await admin.told(PAIR, asyncio.ensure_future(exchange.watch_bids_asks([SWAP]))))[SWAP]
        same((seen["symbol"], seen["bid"], int(seen["ask"])), (SWAP, 60000.0, 60010))
    finally:
        await exchange.close()


def main():
    urls = ready()
    admin = Admin(urls)
    account = {"name": KEY, "key_id": KEY, "secret": SECRET, "settlement": "USDT", "cash": "100000"}
    admin.post("/accounts", account)
    admin.price(PAIR, 60000, 60010, 60000)
    exchange = client(ccxt.binanceusdm, urls)
    look_around(exchange)
    go_long(exchange, admin)
    go_short(exchange, admin)
    cancel_and_be_refused(exchange, urls, admin)
    asyncio.run(listen(urls, admin))
    all_well()


if __name__ == "__main__":
    main()
