"""Drives a simulated Binance with ccxt and with Binance's own connector, and checks every value that comes back.

usage: binance_ccxt.py READY_FILE
"""

import asyncio
import logging

import ccxt
import ccxt.pro
from binance.error import ClientError
from binance.spot import Spot
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from venue import Admin, all_well, ready, refused, same

KEY, SECRET = "K" * 64, "S" * 64
PAIR = "BTC/USDT"


def client(make, urls, secret=SECRET, key=KEY):
    """Returns a client of ccxt that talks to the venue instead of the real one."""
    exchange = make(
        {
            "apiKey": key,
            "secret": secret,
            "enableRateLimit": False,
            "options": {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": ["spot"]}},
        }
    )
    at = urls["url"]
    exchange.urls["api"]["public"] = exchange.urls["api"]["private"] = f"{at}/api/v3"
    exchange.urls["api"]["sapi"] = f"{at}/sapi/v1"
    sockets = exchange.urls["api"].get("ws")
    if sockets:
        sockets["spot"] = f"{urls['stream_url']}/ws"
        sockets["ws-api"]["spot"] = urls["ws_api_url"]
    return exchange


def look_around(exchange):
    markets = exchange.load_markets()
    market = markets[PAIR]
    same((market["id"], market["active"], market["spot"]), ("BTCUSDT", True, True))
    same((market["precision"]["price"], market["precision"]["amount"]), (0.01, 0.00001))
    same((market["limits"]["cost"]["min"], market["limits"]["amount"]["max"]), (5.0, 9000.0))
    same(abs(exchange.fetch_time() - exchange.milliseconds()) < 5000, True)
    ticker = exchange.fetch_bids_asks([PAIR])[PAIR]
    same((ticker["bid"], ticker["ask"]), (60000.0, 60010.0))
    balance = exchange.fetch_balance()
    same((balance["USDT"]["free"], balance["BTC"]["total"]), (100000.0, 1.0))
    rights = exchange.sapi_get_account_apirestrictions()
    same((rights["enableSpotAndMarginTrading"], rights["enableWithdrawals"]), (True, False))


def trade_every_type(exchange, admin):
    order = exchange.create_order(PAIR, "market", "buy", 0.1, None, {"clientOrderId": "c-market"})
    same((order["clientOrderId"], order["status"], order["filled"]), ("c-market", "closed", 0.1))
    same((order["average"], order["cost"]), (60010.0, 6001.0))
    same([(fee["currency"], fee["cost"]) for fee in order["fees"]], [("BTC", 0.0001)])
    balance = exchange.fetch_balance()
    same((balance["BTC"]["free"], balance["USDT"]["free"]), (1.0999, 93999.0))

    spent = exchange.create_market_buy_order_with_cost(PAIR, 1000)
    same((spent["filled"], spent["status"]), (0.01666, "closed"))

    limit = exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"clientOrderId": "c-limit"})
    same((limit["status"], limit["price"], limit["timeInForce"]), ("open", 59000.0, "GTC"))
    same(exchange.fetch_balance()["USDT"]["used"], 590.0)
    by_name = exchange.fetch_order(None, PAIR, {"origClientOrderId": "c-limit"})
    same((by_name["id"], by_name["remaining"]), (limit["id"], 0.01))

    maker = exchange.create_order(PAIR, "limit", "sell", 0.01, 61000, {"postOnly": True})
    same((maker["type"], maker["postOnly"]), ("limit", True))
    stop = exchange.create_order(PAIR, "limit", "sell", 0.02, 57900, {"stopLossPrice": 58000})
    stop_market = exchange.create_order(PAIR, "market", "sell", 0.02, None, {"stopLossPrice": 57950})
    gain = exchange.create_order(PAIR, "market", "sell", 0.03, None, {"takeProfitPrice": 62000})
    trail = {"trailingPercent": 2, "stopLossOrTakeProfit": "stopLoss"}
    trailing = exchange.create_order(PAIR, "market", "sell", 0.04, None, trail)
    fetched = exchange.fetch_order(stop["id"], PAIR)
    same((fetched["type"], fetched["stopPrice"], fetched["price"]), ("limit", 58000.0, 57900.0))
    same(exchange.fetch_order(trailing["id"], PAIR)["info"]["trailingDelta"], 200)
    same(len(exchange.fetch_open_orders(PAIR)), 6)

    admin.price(PAIR, 62000, 62010, 62000)
    same(exchange.fetch_order(gain["id"], PAIR)["average"], 62000.0)
    same(exchange.fetch_order(maker["id"], PAIR)["status"], "closed")
    admin.price(PAIR, 60760, 60770, 60760)
    same(exchange.fetch_order(trailing["id"], PAIR)["average"], 60760.0)
    admin.price(PAIR, 58990, 59000, 58990)
    filled = exchange.fetch_order(limit["id"], PAIR)
    same((filled["status"], filled["average"]), ("closed", 59000.0))
    admin.price(PAIR, 57890, 57895, 57890)
    same(exchange.fetch_order(stop_market["id"], PAIR)["average"], 57890.0)
    same(exchange.fetch_order(stop["id"], PAIR)["status"], "open")

    admin.price(PAIR, 60000, 60010, 60000)
    same(exchange.fetch_order(stop["id"], PAIR)["status"], "closed")
    trades = exchange.fetch_my_trades(PAIR)
    same(len(trades), 8)
    maker_trade = next(trade for trade in trades if trade["order"] == maker["id"])
    same((maker_trade["takerOrMaker"], maker_trade["fee"]), ("maker", {"currency": "USDT", "cost": 0.62}))


def cancel_and_be_refused(exchange, urls):
    order = exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, {"clientOrderId": "c-again"})
    twice = lambda: exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, {"clientOrderId": "c-again"})
    refused(twice, ccxt.BaseError, "Duplicate order sent.")
    canceled = exchange.cancel_order(order["id"], PAIR)
    same((canceled["id"], canceled["status"]), (order["id"], "canceled"))
    refused(lambda: exchange.cancel_order(order["id"], PAIR), ccxt.BaseError, "Unknown order sent.")
    again = exchange.create_order(PAIR, "limit", "buy", 0.01, 50000, {"clientOrderId": "c-again"})
    same(again["id"] != order["id"], True)
    same(len(exchange.cancel_all_orders(PAIR)), 1)

    refused(lambda: exchange.create_order(PAIR, "market", "buy", 10), ccxt.InsufficientFunds, "Account has insufficient balance")
    refused(lambda: exchange.create_order(PAIR, "limit", "buy", 0.00001, 60000), ccxt.BaseError, "Filter failure: NOTIONAL")
    refused(lambda: exchange.fetch_order("999999", PAIR), ccxt.BaseError, "Order does not exist.")
    stranger = client(ccxt.binance, urls, "wrong")
    refused(stranger.fetch_balance, ccxt.AuthenticationError, "Signature for this request")


def use_the_vendors_own(urls, admin):
    own = Spot(api_key=KEY, api_secret=SECRET, base_url=urls["url"])
    same(own.ping(), {})
    same(own.book_ticker("BTCUSDT")["bidPrice"], "60000.00000000")
    same(own.exchange_info(symbol="BTCUSDT")["symbols"][0]["baseAsset"], "BTC")
    own.new_order_test(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    order = own.new_order(
        symbol="BTCUSDT",
        side="SELL",
        type="LIMIT",
        timeInForce="IOC",
        quantity="0.01",
        price="60500",
        newOrderRespType="RESULT",
    )
    same((order["status"], order["executedQty"]), ("EXPIRED", "0.00000000"))
    pair = own.new_oco_order(
        symbol="BTCUSDT",
        side="SELL",
        quantity="0.05",
        aboveType="LIMIT_MAKER",
        abovePrice="61000",
        belowType="STOP_LOSS_LIMIT",
        belowStopPrice="59000",
        belowPrice="58900",
        belowTimeInForce="GTC",
        belowClientOrderId="c-below",
    )
    same((pair["contingencyType"], pair["listOrderStatus"]), ("OCO", "EXECUTING"))
    same([report["type"] for report in pair["orderReports"]], ["LIMIT_MAKER", "STOP_LOSS_LIMIT"])
    locked = own.account(omitZeroBalances="true")["balances"]
    same([has["locked"] for has in locked if has["asset"] == "BTC"], ["0.05000000"])
    admin.price(PAIR, 61000, 61010, 61000)
    above, below = [own.get_order("BTCUSDT", orderId=report["orderId"]) for report in pair["orderReports"]]
    same((above["status"], below["status"], below["clientOrderId"]), ("FILLED", "EXPIRED", "c-below"))
    same(own.get_oco_order(orderListId=pair["orderListId"])["listStatusType"], "ALL_DONE")
    admin.price(PAIR, 60000, 60010, 60000)
    try:
        own.get_order("BTCUSDT", origClientOrderId="nobody")
    except ClientError as error:
        same((error.status_code, error.error_code), (400, -2013))
        same("x-mbx-used-weight-1m" in error.header, True)
    else:
        raise AssertionError("it found what is not there")


def sign_with_a_pair_of_keys(urls, admin):
    pair = Ed25519PrivateKey.generate()
    private = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    account = {"key_id": "E" * 64, "secret": public, "kind": "spot", "settlement": "USDT", "cash": "700"}
    admin.post("/accounts", account)
    exchange = client(ccxt.binance, urls, private, "E" * 64)
    exchange.load_markets()
    order = exchange.create_order(PAIR, "market", "buy", 0.01)
    same((order["status"], exchange.fetch_balance()["USDT"]["free"]), ("closed", 99.9))
    own = Spot(api_key="E" * 64, private_key=private, base_url=urls["url"])
    same(own.get_orders("BTCUSDT")[0]["orderId"], int(order["id"]))


async def listen(urls, admin):
    exchange = client(ccxt.pro.binance, urls)
    # ccxt prints nothing of its own then.
    logging.disable(logging.CRITICAL)
    try:
        await exchange.load_markets()
        orders = asyncio.ensure_future(exchange.watch_orders(PAIR))
        await admin.listening(KEY)
        made = await exchange.create_order(PAIR, "limit", "buy", 0.01, 59000, {"clientOrderId": "c-ws"})
        seen = (await orders)[-1]
        same((seen["id"], seen["clientOrderId"], seen["status"]), (made["id"], "c-ws", "open"))
        orders = asyncio.ensure_future(exchange.watch_orders(PAIR))
        await exchange.cancel_order(made["id"], PAIR)
        seen = (await orders)[-1]
        same((seen["id"], seen["clientOrderId"], seen["status"]), (made["id"], "c-ws", "canceled"))
        orders = asyncio.ensure_future(exchange.watch_orders(PAIR))
        await exchange.create_order(PAIR, "market", "sell", 0.01)
        while (seen := (await orders)[-1])["status"] != "closed":
            orders = asyncio.ensure_future(exchange.watch_orders(PAIR))
        same((seen["filled"], seen["average"]), (0.01, 60000.0))
        told = exchange.balance["spot"]
        same(told["BTC"]["free"], (await exchange.fetch_balance())["BTC"]["free"])

        seen = (await admin.told(PAIR, asyncio.ensure_future(exchange.watch_bids_asks([PAIR]))))[PAIR]
        same((seen["symbol"], seen["bid"], int(seen["ask"])), (PAIR, 60000.0, 60010))
    finally:
        await exchange.close()


def main():
    urls = ready()
    admin = Admin(urls)
    admin.open_spot(PAIR, KEY, SECRET)
    exchange = client(ccxt.binance, urls)
    look_around(exchange)
    trade_every_type(exchange, admin)
    cancel_and_be_refused(exchange, urls)
    use_the_vendors_own(urls, admin)
    sign_with_a_pair_of_keys(urls, admin)
    asyncio.run(listen(urls, admin))
    all_well()


if __name__ == "__main__":
    main()
