"""Drives a simulated Schwab with the clients people use, and checks every value that comes back.

usage: schwab_py.py READY_FILE
"""

import asyncio
import base64
import json
import os
import tempfile
import urllib.error
import urllib.request
from datetime import date, datetime, timedelta, timezone

import httpx
import requests
import schwab.client
import schwab.streaming
import schwab.utils
import schwabdev
import schwabdev.client
import schwabdev.tokens
from schwab.orders.common import Duration, OrderType, Session, StopPriceLinkBasis, StopPriceLinkType
from schwab.orders.common import first_triggers_second, one_cancels_other
from schwab.orders.equities import (
    equity_buy_limit,
    equity_buy_market,
    equity_buy_to_cover_market,
    equity_sell_limit,
    equity_sell_market,
    equity_sell_short_limit,
)
from schwab.orders.generic import OrderBuilder

from venue import Admin, all_well, ready, same, until

KEY, SECRET, BACK = "k" * 32, "s" * 16, "https://127.0.0.1"


class Stay(urllib.request.HTTPRedirectHandler):
    """Keeps a browser from going where it is sent."""

    def redirect_request(self, *_):
        return None


def logged_in(url):
    """Returns a browser in which somebody logs in: from the address of the login to the one after it."""

    def browse(address):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay())
        try:
            opener.open(address.replace("https://api.schwabapi.com", url), timeout=10)
        except urllib.error.HTTPError as answer:
            same(answer.code, 302)
            return answer.headers["location"]
        raise AssertionError("nobody was sent back")

    return browse


def order(kind, instruction, quantity, symbol="AAPL", **more):
    """Returns an order as schwabdev is given it."""
    leg = {"instruction": instruction, "quantity": quantity, "instrument": {"symbol": symbol, "assetType": "EQUITY"}}
    whole = {"session": "NORMAL", "duration": "DAY", "orderType": kind, "orderStrategyType": "SINGLE"}
    return {**whole, "complexOrderStrategyType": "NONE", **more, "orderLegCollection": [leg]}


class Dev:
    """schwabdev: everything over HTTP, then the streamer."""

    def __init__(self, url, admin):
        self.url, self.admin = url, admin
        schwabdev.client.ClientBase._base_api_url = url
        # The one address it does not let itself be told.
        schwabdev.tokens.Tokens._post_oauth_token = self.token
        self.folder = tempfile.TemporaryDirectory()
        database = os.path.join(self.folder.name, "tokens.db")
        self.client = schwabdev.Client(KEY, SECRET, BACK, database, call_on_auth=logged_in(url))
        linked = self.client.linked_accounts().json()
        same(len(linked), 1)
        self.number, self.hash = linked[0]["accountNumber"], linked[0]["hashValue"]

    def token(self, grant_type, code):
        # `self` is ours; it is not bound to the tokens, for it is looked up on the class as a bound method.
        basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        fields = {"code": code, "redirect_uri": BACK} if grant_type == "authorization_code" else {"refresh_token": code}
        return requests.post(
            f"{self.url}/v1/oauth/token",
            headers={"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
            data={"grant_type": grant_type, **fields},
            timeout=10,
        )

    def place(self, body):
        answer = self.client.place_order(self.hash, body)
        same((answer.status_code, answer.text), (201, ""))
        return int(answer.headers["location"].split("/")[-1])

    def look(self, number):
        answer = self.client.order_details(self.hash, number)
        same(answer.status_code, 200)
        return answer.json()

    def ended(self, number, status):
        until(f"{number} {status}", lambda: self.look(number)["status"] == status)
        return self.look(number)

    def look_around(self):
        account = self.client.account_details(self.hash, "positions").json()["securitiesAccount"]
        same((account["type"], account["accountNumber"]), ("MARGIN", self.number))
        same(account["currentBalances"]["buyingPower"], 200000.0)
        same(self.client.account_details_all().json()[0]["securitiesAccount"]["accountNumber"], self.number)
        quotes = self.client.quotes(["AAPL", "ZZZZ"], "quote").json()
        same(quotes["AAPL"]["quote"]["askPrice"], 190.52)
        same(quotes["errors"]["invalidSymbols"], ["ZZZZ"])
        same(self.client.quote("AAPL").json()["AAPL"]["quote"]["bidPrice"], 190.5)
        same(self.client.quote("ZZZZ").status_code, 404)
        hours = self.client.market_hours(["equity", "option"], date(2024, 6, 8)).json()
        same(hours["option"]["option"]["isOpen"], False)
        same(self.client.market_hour("equity").json()["equity"]["EQ"]["isOpen"], True)
        same(self.client.preferences().json()["accounts"][0]["accountNumber"], self.number)

    def trade_every_type(self):
        bought = self.look(self.place(order("MARKET", "BUY", 10)))
        same((bought["status"], bought["filledQuantity"], bought["accountNumber"]), ("FILLED", 10.0, int(self.number)))
        same(bought["orderActivityCollection"][0]["executionLegs"][0]["price"], 190.52)
        datetime.strptime(bought["enteredTime"], "%Y-%m-%dT%H:%M:%S%z")
        resting = {
            "LIMIT": order("LIMIT", "BUY", 1, price=180.25),
            "STOP": order("STOP", "SELL", 1, stopPrice=180, stopType="STANDARD"),
            "STOP_LIMIT": order("STOP_LIMIT", "SELL", 1, stopPrice="180", price="179.5"),
            "TRAILING_STOP": order(
                "TRAILING_STOP", "SELL", 1, stopPriceLinkBasis="LAST", stopPriceLinkType="PERCENT", stopPriceOffset=5
            ),
        }
        for kind, body in resting.items():
            number = self.place(body)
            shown = self.look(number)
            same((shown["orderType"], shown["cancelable"]), (kind, True))
            same(self.client.cancel_order(self.hash, number).status_code, 200)
            same(self.look(number)["status"], "CANCELED")
        now = datetime.now(timezone.utc)
        listed = self.client.account_orders(self.hash, now - timedelta(hours=1), now + timedelta(hours=1)).json()
        same([shown["status"] for shown in listed], ["CANCELED"] * 4 + ["FILLED"])
        filled = self.client.account_orders_all(
            now - timedelta(hours=1), now + timedelta(hours=1), maxResults=5, status="FILLED"
        )
        same([shown["orderId"] for shown in filled.json()], [bought["orderId"]])
        position = self.client.account_details(self.hash, "positions").json()["securitiesAccount"]["positions"][0]
        same((position["longQuantity"], position["averagePrice"]), (10.0, 190.52))

    def trade_families(self):
        gain, loss = order("LIMIT", "SELL", 2, price=200), order("STOP", "SELL", 2, stopPrice=180)
        pair = {"orderStrategyType": "OCO", "childOrderStrategies": [gain, loss]}
        entry = {**order("LIMIT", "BUY", 2, price=191), "orderStrategyType": "TRIGGER", "childOrderStrategies": [pair]}
        bracket = self.look(self.place(entry))
        same((bracket["orderStrategyType"], bracket["status"]), ("TRIGGER", "FILLED"))
        first, second = bracket["childOrderStrategies"][0]["childOrderStrategies"]
        same((first["status"], second["status"]), ("WORKING", "AWAITING_STOP_CONDITION"))
        self.admin.price("AAPL", "200", "200.02")
        same(self.look(first["orderId"])["status"], "FILLED")
        same(self.look(second["orderId"])["status"], "CANCELED")
        self.admin.price("AAPL", "190.5", "190.52")
        alone = self.look(self.place(pair))
        same((alone["orderStrategyType"], len(alone["childOrderStrategies"])), ("OCO", 2))
        same(self.client.cancel_order(self.hash, alone["orderId"]).status_code, 200)

    def replace_and_be_refused(self):
        old = self.place(order("LIMIT", "BUY", 3, price=180))
        answer = self.client.replace_order(self.hash, old, order("LIMIT", "BUY", 2, price=181))
        new = int(answer.headers["location"].split("/")[-1])
        same((answer.status_code, self.look(old)["status"], self.look(new)["price"]), (201, "REPLACED", 181.0))
        self.client.cancel_order(self.hash, new)
        poor = self.ended(self.place(order("MARKET", "BUY", 100000)), "REJECTED")
        same(poor["statusDescription"], "You do not have enough available cash/buying power for this order.")
        preview = self.client.preview_order(self.hash, order("LIMIT", "BUY", 10, price=180)).json()
        same(preview["orderStrategy"]["orderBalance"]["orderValue"], 1800.0)
        wrong = self.client.place_order(self.hash, order("LIMIT", "BUY", 1, price=1, requestedDestination="AUTO"))
        same(wrong.status_code, 400)
        same(self.client.order_details(self.hash, 12).status_code, 404)

    def refresh(self):
        before = self.client.tokens.access_token
        same(self.client.update_tokens(force_access_token=True), True)
        same(self.client.tokens.access_token == before, False)
        same(self.client.linked_accounts().status_code, 200)

    def listen(self):
        heard = []
        stream = schwabdev.Stream(self.client)
        stream.start(lambda text: heard.append(json.loads(text)))
        until("the login", lambda: stream.active)
        same(heard[0]["response"][0]["content"]["code"], 0)
        stream.send(stream.account_activity())
        stream.send(stream.level_one_equities(["AAPL"], [0, 1, 2, 3], "SUBS"))

        def data(service):
            messages = [part for message in list(heard) for part in message.get("data", [])]
            return [entry for part in messages if part["service"] == service for entry in part["content"]]

        until("a first price", lambda: data("LEVELONE_EQUITIES"))
        same(data("LEVELONE_EQUITIES")[0]["1"], 190.5)
        self.admin.price("AAPL", "190.5", "190.53")
        until("a change", lambda: len(data("LEVELONE_EQUITIES")) > 1)
        same(data("LEVELONE_EQUITIES")[1], {"key": "AAPL", "delayed": False, "2": 190.53})
        number = self.place(order("MARKET", "SELL", 10))
        until("a fill", lambda: data("ACCT_ACTIVITY")[-1]["2"] == "OrderFillCompleted")
        told = data("ACCT_ACTIVITY")
        same([told[0]["2"], told[1]["2"], told[1]["key"]], ["SUBSCRIBED", "OrderCreated", "Account Activity"])
        same(json.loads(told[-1]["3"])["SchwabOrderID"], str(number))
        stream.stop()
        until("the end", lambda: not stream.active)


class Redirect(httpx.HTTPTransport):
    """Sends what is meant for Schwab to the venue."""

    def __init__(self, url):
        super().__init__()
        self.to = httpx.URL(url)

    def handle_request(self, request):
        same(request.url.host, "api.schwabapi.com")
        to = self.to
        request.url = request.url.copy_with(scheme=to.scheme, host=to.host, port=to.port)
        return super().handle_request(request)


class Metadata:
    """What schwab-py's streamer asks of a client's token."""

    def __init__(self, token):
        self.token = {"access_token": token}


def with_schwab_py(url, token):
    """schwab-py: its order builders, its enums, its streamer."""
    session = httpx.Client(transport=Redirect(url), headers={"Authorization": f"Bearer {token}"})
    client = schwab.client.Client(KEY, session, token_metadata=Metadata(token))
    hash_value = client.get_account_numbers().json()[0]["hashValue"]
    utils = schwab.utils.Utils(client, hash_value)
    fields = client.Account.Fields
    same("positions" in client.get_account(hash_value, fields=fields.POSITIONS).json()["securitiesAccount"], False)

    def place(spec):
        return utils.extract_order_id(client.place_order(hash_value, spec))

    def look(number):
        return client.get_order(number, hash_value).json()

    bought = place(equity_buy_market("AAPL", 3))
    same(look(bought)["status"], "FILLED")
    exits = one_cancels_other(equity_sell_limit("AAPL", 3, "250"), equity_sell_limit("AAPL", 3, "260"))
    pair = place(exits)
    same(look(pair)["orderStrategyType"], "OCO")
    same(client.cancel_order(pair, hash_value).status_code, 200)
    trailing = (
        OrderBuilder(enforce_enums=True)
        .set_order_type(OrderType.TRAILING_STOP)
        .set_session(Session.NORMAL)
        .set_duration(Duration.GOOD_TILL_CANCEL)
        .set_order_strategy_type(schwab.orders.common.OrderStrategyType.SINGLE)
        .set_stop_price_link_basis(StopPriceLinkBasis.MARK)
        .set_stop_price_link_type(StopPriceLinkType.VALUE)
        .set_stop_price_offset(4.5)
        .add_equity_leg(schwab.orders.common.EquityInstruction.SELL, "AAPL", 1)
    )
    number = place(trailing)
    same((look(number)["stopPriceOffset"], look(number)["duration"]), (4.5, "GOOD_TILL_CANCEL"))
    replaced = client.replace_order(hash_value, number, equity_sell_limit("AAPL", 1, "240"))
    same((replaced.status_code, look(number)["status"]), (201, "REPLACED"))
    client.cancel_order(utils.extract_order_id(replaced), hash_value)
    same(look(place(equity_sell_market("AAPL", 3)))["status"], "FILLED")
    chain = first_triggers_second(equity_sell_short_limit("AAPL", 1, "190.5"), equity_buy_to_cover_market("AAPL", 1))
    number = place(chain)
    same(look(number)["childOrderStrategies"][0]["status"], "FILLED")
    entry = place(equity_buy_limit("AAPL", 1, "100").set_session(Session.SEAMLESS))
    listed = client.get_orders_for_account(hash_value, status=client.Order.Status.WORKING).json()
    same([shown["orderId"] for shown in listed], [entry])
    same(len(client.get_orders_for_all_linked_accounts(max_results=2).json()), 2)
    preview = client.preview_order(hash_value, equity_buy_limit("AAPL", 1, "100")).json()
    same(preview["orderValidationResult"]["rejects"], [])
    same(client.cancel_order(entry, hash_value).status_code, 200)
    quote = client.get_quotes(["AAPL"], fields=[client.Quote.Fields.QUOTE]).json()
    same(quote["AAPL"]["quote"]["askPrice"], 190.53)
    hours = client.get_market_hours(client.MarketHours.Market.EQUITY).json()
    same(hours["equity"]["EQ"]["isOpen"], True)

    async def listen():
        stream = schwab.streaming.StreamClient(client)
        await stream.login()
        prices, activity = [], []
        stream.add_level_one_equity_handler(prices.append)
        stream.add_account_activity_handler(activity.append)
        await stream.account_activity_sub()
        await stream.level_one_equity_subs(["AAPL"])
        while not prices:
            await asyncio.wait_for(stream.handle_message(), 10)
        same(prices[0]["content"][0]["BID_PRICE"], 190.5)
        same(activity[0]["content"][0]["MESSAGE_TYPE"], "SUBSCRIBED")
        await stream.level_one_equity_unsubs(["AAPL"])
        await stream.logout()

    asyncio.run(listen())


def main():
    os.environ["NO_PROXY"] = "127.0.0.1"
    urls = ready()
    admin = Admin(urls)
    admin.post("/accounts", {"name": "12345678", "key_id": "12345678", "secret": "unused", "cash": "100000"})
    admin.post("/oauth/clients", {"client_id": KEY, "client_secret": SECRET})
    admin.post("/limits", {"per_minute": None})
    admin.price("AAPL", "190.5", "190.52")
    dev = Dev(urls["url"], admin)
    same(dev.number, "12345678")
    dev.look_around()
    dev.trade_every_type()
    dev.trade_families()
    dev.replace_and_be_refused()
    dev.refresh()
    dev.listen()
    with_schwab_py(urls["url"], dev.client.tokens.access_token)
    all_well()


if __name__ == "__main__":
    main()
