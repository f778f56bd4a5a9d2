"""Drives a simulated gateway with ibind, the client most people use, and checks every value that comes back.

usage: ibind_py.py READY_FILE
"""

import json
import os
import sys
import tempfile
import threading
import time
import urllib.request

os.environ["IBIND_LOGS_DIR"] = tempfile.mkdtemp()
os.environ["IBIND_LOG_TO_CONSOLE"] = "False"
os.environ["IBIND_PRINT_FILE_LOGS"] = "False"

from ibind import CallbackSink, IbkrClient, IbkrWsClient, events  # noqa: E402
from ibind.client.ibkr_utils import OrderRequest, QuestionType  # noqa: E402
from ibind.subscriptions import MarketDataSubscription, OrdersSubscription, TradesSubscription  # noqa: E402
from ibind.support.errors import ExternalBrokerError  # noqa: E402

ACCOUNT, OTHER = "DU111", "DU222"
AAPL = 265598
YES = {
    QuestionType.PRICE_PERCENTAGE_CONSTRAINT: True,
    QuestionType.MARKET_ORDER_CONFIRMATION: True,
    QuestionType.STOP_ORDER_RISKS: True,
    QuestionType.MISSING_MARKET_DATA: True,
    QuestionType.ORDER_SIZE_LIMIT: True,
    QuestionType.ORDER_VALUE_LIMIT: True,
    QuestionType.TRIGGER_AND_FILL: True,
}


def same(got, wanted):
    """Checks that two values are equal."""
    if got != wanted:
        raise AssertionError(f"{got!r} is not {wanted!r}")


def refused(call, words, status=None):
    """Checks that a call is refused in words like these."""
    try:
        call()
    except ExternalBrokerError as error:
        if words not in str(error):
            raise AssertionError(f"{error} does not say {words!r}") from error
        if status is not None:
            same(error.status_code, status)
    else:
        raise AssertionError(f"{words!r} was not refused")


def until(what, is_it):
    """Waits up to ten seconds for something to be true."""
    end = time.monotonic() + 10
    while not is_it():
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)


class Admin:
    """What is done to the venue from behind."""

    def __init__(self, url):
        self.url = url

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def price(self, symbol, bid, ask):
        last = str(bid)
        return self.post("/prices", {"symbol": symbol, "bid": str(bid), "ask": str(ask), "last": last})


def order(side, quantity, kind, coid=None, **rest):
    return OrderRequest(
        conid=AAPL,
        side=side,
        quantity=quantity,
        order_type=kind,
        acct_id=ACCOUNT,
        coid=coid,
        **{"tif": "DAY", **rest},
    )


def look_around(client):
    status = client.authentication_status().data
    same((status["authenticated"], status["connected"], status["competing"]), (True, True, False))
    same(client.check_health(), True)
    refused(lambda: client.live_orders(), "Please query /accounts first", 500)
    accounts = client.receive_brokerage_accounts().data
    same((accounts["accounts"], accounts["selectedAccount"], accounts["isPaper"]), ([ACCOUNT], ACCOUNT, True))
    same(client.validate().data["LOGIN_TYPE"], 2)

    refused(lambda: client.portfolio_summary(), "Please query /accounts first", 500)
    same([account["accountId"] for account in client.portfolio_accounts().data], [ACCOUNT])
    same(client.portfolio_summary().data["netliquidation"]["amount"], 100000.0)
    same(client.account_summary().data["buyingPower"], 200000.0)
    same(client.get_ledger().data["USD"]["cashbalance"], 100000.0)
    same(client.positions().data, [])

    same(client.stock_conid_by_symbol(["AAPL"]).data, {"AAPL": AAPL})
    same(client.security_stocks_by_symbol(["AAPL"]).data["AAPL"][0]["contracts"][0]["isUS"], True)
    same(client.search_contract_by_symbol("AAPL").data[0]["conid"], str(AAPL))
    rules = client.search_contract_rules(AAPL, is_buy=True).data
    same((rules["increment"], "market" in rules["orderTypes"]), (0.01, True))


def look_at_prices(client):
    first = client.live_marketdata_snapshot([str(AAPL)], ["31", "84", "86"]).data
    same((first[0]["conid"], "31" in first[0]), (AAPL, False))
    second = client.live_marketdata_snapshot([str(AAPL)], ["31", "84", "86", "6509"]).data[0]
    same((second["31"], second["84"], second["86"], second["6509"][0]), ("190.50", "190.50", "190.52", "R"))
    named = client.live_marketdata_snapshot_by_symbol("AAPL", ["31"])
    same(named["AAPL"]["last_price"], "190.50")
    same(client.marketdata_unsubscribe(str(AAPL))[str(AAPL)].data, {"success": True})


def trade(client, admin):
    placed = client.place_order(order("BUY", 10, "MKT", "py-market"), YES).data
    same((placed["local_order_id"], placed["order_status"]), ("py-market", "Submitted"))
    state = client.order_status(placed["order_id"]).data
    same((state["order_status"], state["cum_fill"], state["average_price"]), ("Filled", "10.0", "190.52"))

    # Far from the market: the library answers the question about it.
    limit = client.place_order(order("BUY", 5, "LMT", "py-limit", price=150.0), YES).data
    same(limit["order_status"], "Submitted")
    refused(lambda: client.place_order(order("BUY", 5, "LMT", "py-limit", price=150.0), YES), "already registered")
    # With every kind of question, one after another.
    admin.post("/ibkr/questions", [{"id": "o10331", "order_type": "STP", "times": 1}])
    stop = client.place_order(order("SELL", 10, "STP", "py-stop", price=195.0), YES).data
    same(client.order_status(stop["order_id"]).data["order_status"], "Filled")
    stop = client.place_order(order("BUY", 1, "STOP_LIMIT", "py-sl", price=190.4, aux_price=200.0), YES).data
    same(stop["order_status"], "PreSubmitted")
    trailing = order("SELL", 1, "TRAIL", "py-trail", trailing_type="amt", trailing_amt=5)
    trailing = client.place_order(trailing, YES).data
    same(trailing["order_status"], "PreSubmitted")
    try:
        client.place_order(order("BUY", 5, "LMT", "py-no", price=151.0), {QuestionType.PRICE_PERCENTAGE_CONSTRAINT: False})
    except RuntimeError as error:
        same("not given a positive reply" in str(error), True)
    else:
        raise AssertionError("the question was not asked")

    changed = client.modify_order(limit["order_id"], order("BUY", 7, "LMT", "py-limit", price=152.5), YES).data
    same((changed["order_id"], changed["local_order_id"]), (limit["order_id"], "py-limit"))
    state = client.order_status(limit["order_id"]).data
    same((state["total_size"], state["limit_price"]), ("7.0", "152.5"))

    same(client.live_orders().data, {"orders": [], "snapshot": False})
    live = client.live_orders().data
    same(live["snapshot"], True)
    found = {it["order_ref"]: it for it in live["orders"]}
    same(sorted(found), ["py-limit", "py-market", "py-sl", "py-stop", "py-trail"])
    same((found["py-limit"]["remainingQuantity"], found["py-limit"]["price"]), (7.0, "152.5"))
    same(str(found["py-limit"]["orderId"]), limit["order_id"])

    same(client.cancel_order(limit["order_id"]).data["msg"], "Request was submitted")
    same(client.order_status(limit["order_id"]).data["order_status"], "Cancelled")
    same("error" in client.cancel_order("12").data, True)
    refused(lambda: client.order_status("12"), "", 503)
    same(client.trades().data, [])
    trades = client.trades().data
    same([(it["order_ref"], it["side"], it["size"]) for it in trades], [("py-stop", "S", 10.0), ("py-market", "B", 10.0)])


def trade_a_bracket(client, admin):
    parent = order("BUY", 3, "LMT", "py-bracket", price=190.0)
    profit = order("SELL", 3, "LMT", parent_id="py-bracket", price=195.0, tif="GTC")
    loss = order("SELL", 3, "STP", parent_id="py-bracket", price=185.0, tif="GTC")
    placed = client.place_order([parent, profit, loss], YES).data
    same([leg["order_status"] for leg in placed], ["Submitted", "PreSubmitted", "PreSubmitted"])
    same([leg.get("parent_order_id") for leg in placed], [None, "py-bracket", "py-bracket"])
    admin.price("AAPL", 189.99, 190)
    same(client.order_status(placed[1]["order_id"]).data["order_status"], "Submitted")
    client.invalidate_backend_portfolio_cache()
    same([(it["conid"], it["position"]) for it in client.positions().data], [(AAPL, 3.0)])
    same(client.positions2().data[0]["conid"], str(AAPL))
    admin.price("AAPL", 195, 195.02)
    states = [client.order_status(leg["order_id"]).data["order_status"] for leg in placed]
    same(states, ["Filled", "Filled", "Cancelled"])


def listen(client, admin, urls):
    heard = {"orders": [], "trades": [], "prices": []}
    sink = CallbackSink()
    sink.on(events.Orders, lambda event: heard["orders"].extend(event.data["args"]))
    sink.on(events.Trades, lambda event: heard["trades"].extend(event.data["args"]))
    sink.on(events.MarketData, lambda event: heard["prices"].append(event.data))
    stream = IbkrWsClient(url=urls["stream_url"], ibkr_client=client, account_id=ACCOUNT, sink=sink)
    same(stream.start(), True)
    until("authenticated", stream.is_authenticated)
    handles = [
        stream.subscribe(OrdersSubscription()),
        stream.subscribe(TradesSubscription()),
        stream.subscribe(MarketDataSubscription(conid=str(AAPL), fields=["31", "84", "86"])),
    ]
    same(stream.wait_all(handles, 10), [])
    until("orders of today", lambda: len(heard["orders"]) >= 8)
    until("trades of today", lambda: len(heard["trades"]) == 4)
    before, past = len(heard["orders"]), len(heard["trades"])
    client.place_order(order("BUY", 2, "MKT", "py-stream"), YES)
    until("a fill", lambda: any(it.get("status") == "Filled" for it in heard["orders"][before:]))
    new = next(it for it in heard["orders"][before:] if it.get("order_ref") == "py-stream")
    same((new["order_ref"], new["status"]), ("py-stream", "Submitted"))
    fill = next(it for it in heard["orders"][before:] if it.get("status") == "Filled")
    same((fill["orderId"], fill["filledQuantity"], "ticker" in fill), (new["orderId"], 2.0, False))
    until("the trade, twice", lambda: len(heard["trades"]) == past + 2)
    first, second = heard["trades"][past:]
    same((first["execution_id"], "commission" in first, "commission" in second), (second["execution_id"], False, True))
    admin.price("AAPL", 196.5, 196.6)
    until("the price", lambda: any(it.get("last_price") == "196.50" for it in heard["prices"]))
    same(stream.tic()["alive"], True)
    # It says goodbye at once, and then waits long for a thread of its own.
    threading.Thread(target=stream.shutdown, daemon=True).start()
    until("the stream is closed", lambda: admin.get(f"/streams?account={ACCOUNT}")["orders"] == 0)


def lose_the_session(client, admin):
    admin.post(f"/ibkr/gateways/{ACCOUNT}/compete", {})
    same(client.check_auth_status(), False)
    refused(lambda: client.receive_brokerage_accounts(), "no bridge")
    same(client.initialize_brokerage_session(compete=False).data["competing"], True)
    same(client.initialize_brokerage_session().data["authenticated"], True)
    client.receive_brokerage_accounts()
    same(client.logout().data, {"status": True})
    same(client.check_health(), False)
    refused(lambda: client.receive_brokerage_accounts(), "not authenticated", 401)
    admin.post(f"/ibkr/gateways/{ACCOUNT}/login", {})
    same(client.check_health(), True)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        urls = json.load(file)
    admin = Admin(urls["admin_url"])
    for name in (ACCOUNT, OTHER):
        admin.post("/accounts", {"key_id": name, "secret": "", "cash": "100000"})
    admin.price("AAPL", 190.5, 190.52)
    # The library polls as it likes.
    admin.post("/ibkr/policy", {"pacing": {"enabled": False}, "heartbeat_ms": 500})

    client = IbkrClient(account_id=ACCOUNT, url=urls["url"], auto_register_shutdown=False)
    look_around(client)
    look_at_prices(client)
    trade(client, admin)
    trade_a_bracket(client, admin)
    listen(client, admin, urls)
    other = IbkrClient(account_id=OTHER, url=urls["gateway_url"].format(account=OTHER), auto_register_shutdown=False)
    same(other.receive_brokerage_accounts().data["selectedAccount"], OTHER)
    lose_the_session(client, admin)
    same(other.check_health(), True)
    print("all as it should be")
    sys.stdout.flush()
    # The library's threads do not end by themselves.
    os._exit(0)


main()
