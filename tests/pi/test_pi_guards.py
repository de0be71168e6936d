"""Guards: which countries a message may go to, which budgets it counts against, when an alarm is due."""

from typing import Any

import pytest

from otp.errors import InvalidInput, MissingExtra
from otp.numbers import NumberPolicy, Numbers
from otp.pi import guards, settings
from otp.pi.guards import COUNTRY, Alarms, Guards
from otp.pi.model import Channel

INDONESIA = "+628126666666"
GERMANY = "+4915112345678"
UNITED_STATES = "+12025550123"
JAMAICA = "+18765550123"

HOUR = 3600.0
DAY = 86_400.0


def make(region: str = "ID", policy: NumberPolicy = NumberPolicy.NORMALISE, **limits: Any) -> Guards:
    return Guards(settings.Guards(**limits), Numbers(policy, region))


def alarms(**limits: Any) -> Alarms:
    return Alarms(settings.Guards(**limits))


@pytest.mark.parametrize("receiver", [INDONESIA, GERMANY, "3636", "0812"])
def test_check_without_list_allows_every_number(receiver: str) -> None:
    """No list of countries: nothing is asked."""
    assert make().check(receiver, Channel.SMS) is None


@pytest.mark.parametrize("entry", ["+62", "62", "ID", "id"])
@pytest.mark.parametrize("receiver", [INDONESIA, "0812-6666 666", "00628126666666"])
def test_check_number_of_listed_country_is_allowed(entry: str, receiver: str) -> None:
    """A calling code or a region allows its numbers, however they are spelt."""
    assert make(countries=[entry]).check(receiver, Channel.SMS) is None


@pytest.mark.parametrize("entry", ["+62", "ID"])
@pytest.mark.parametrize("receiver", [GERMANY, "004915112345678", "+1", "+999123456"])
def test_check_number_of_other_country_is_refused(entry: str, receiver: str) -> None:
    """Another country, or none that exists, is refused with the token the journal keeps."""
    assert make(countries=[entry]).check(receiver, Channel.SMS) == COUNTRY == "country"


@pytest.mark.parametrize("entry", ["+62", "ID"])
@pytest.mark.parametrize("receiver", ["3636", "*77#12", "008"])
def test_check_number_without_country_is_refused(entry: str, receiver: str) -> None:
    """Short codes belong to no known country: with a list they are refused."""
    assert make(countries=[entry]).check(receiver, Channel.SMS) == COUNTRY


def test_check_national_number_without_region_is_refused() -> None:
    """Nobody knows where 0812 is when no region is set."""
    assert make(region="", countries=["62"]).check("08126666666", Channel.SMS) == COUNTRY


def test_check_raw_number_goes_by_where_it_is_dialled() -> None:
    """The policy raw changes what is dialled, not what is checked."""
    guard = make(policy=NumberPolicy.RAW, countries=["+62"])
    assert guard.check("0062 812 6666 666", Channel.SMS) is None
    assert guard.check("0049 151 12345678", Channel.SMS) == COUNTRY


def test_check_region_is_narrower_than_its_calling_code() -> None:
    """US keeps the dear islands out that +1 lets in."""
    by_region, by_code = make(countries="US, ID"), make(countries=["+1"])
    assert by_region.check(UNITED_STATES, Channel.SMS) is None
    assert by_region.check(JAMAICA, Channel.SMS) == COUNTRY
    assert by_code.check(JAMAICA, Channel.SMS) is None


@pytest.mark.parametrize("channel", [Channel.MAIL, Channel.NONE])
def test_check_mail_is_exempt(channel: Channel) -> None:
    """A mail address has no country."""
    assert make(countries=["ID"]).check("alice@example.de", channel) is None


@pytest.mark.parametrize("entry", ["XX", "+999", "Indonesia", "+", "\u0666\u0662"])
def test_guards_unknown_country_is_named(entry: str) -> None:
    """A list with an unknown entry is refused at start, with the entry and what is accepted."""
    with pytest.raises(InvalidInput, match="neither a calling code such as \\+62 nor a region such as ID") as caught:
        make(countries=["ID", entry])
    assert repr(entry) in str(caught.value)


def test_guards_without_library_say_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list needs phonenumbers; the text has the command."""
    monkeypatch.setitem(__import__("sys").modules, "phonenumbers", None)
    with pytest.raises(MissingExtra, match="pip install"):
        Guards(settings.Guards(countries=("62",)), Numbers())


EVERY: dict[str, Any] = {
    "per_receiver_hour": 1,
    "per_receiver_day": 2,
    "per_prefix_hour": 3,
    "per_user_hour": 4,
    "per_user_day": 5,
    "total_hour": 6,
    "total_day": 7,
}


def found(guard: Guards, receiver: str, channel: Channel) -> set[tuple[str, str, str, int]]:
    charges = guard.charges(receiver, "shop", channel)
    assert all(charge.once_for == "" for charge in charges)
    return {(charge.scope, charge.name, charge.span, charge.limit) for charge in charges}


def test_charges_count_every_budget_of_an_sms() -> None:
    """Each limit of the settings is one charge, under the name of its setting."""
    assert found(make(**EVERY), INDONESIA, Channel.SMS) == {
        ("receiver_hour", INDONESIA, "hour", 1),
        ("receiver_day", INDONESIA, "day", 2),
        ("prefix_hour", "62812666", "hour", 3),
        ("user_hour", "shop", "hour", 4),
        ("user_day", "shop", "day", 5),
        ("total_hour", "all", "hour", 6),
        ("total_day", "all", "day", 7),
    }


def test_charges_of_mail_have_no_prefix() -> None:
    """A mail counts for its receiver, its user and in all."""
    scopes = {scope for scope, *_ in found(make(**EVERY), "alice@example.com", Channel.MAIL)}
    assert scopes == {"receiver_hour", "receiver_day", "user_hour", "user_day", "total_hour", "total_day"}


@pytest.mark.parametrize("receiver", ["3636", "110", "+1234"])
def test_charges_of_short_code_have_no_prefix(receiver: str) -> None:
    """Short codes have nothing in common to be counted by."""
    assert "prefix_hour" not in {scope for scope, *_ in found(make(**EVERY), receiver, Channel.SMS)}


def test_charges_share_prefix_of_neighbours() -> None:
    """Numbers that differ in their last four digits only fall into one budget."""
    guard = make(per_prefix_hour=9)
    names = {
        charge.name
        for last in ("0000", "1234", "9999")
        for charge in guard.charges(f"+62812777{last}", "shop", Channel.SMS)
        if charge.scope == "prefix_hour"
    }
    assert names == {"62812777"}


def test_charges_without_limits_are_none() -> None:
    """0 is no limit, and costs no row in the journal."""
    assert make(per_receiver_hour=0, per_receiver_day=0).charges(INDONESIA, "shop", Channel.SMS) == []


def test_near_raises_once_per_window() -> None:
    """The alarm comes when the mark is passed, not again in that hour, and again in the next."""
    watch = alarms(total_hour=10, alarm_at=80)
    assert watch.near({"total_hour": 7}, 0.0) == []
    (first,) = watch.near({"total_hour": 8}, 1.0)
    assert (first.event, first.scope, first.limit, first.used, first.name) == ("budget_near", "total_hour", 10, 8, "")
    assert watch.near({"total_hour": 9}, HOUR - 1) == []
    assert [alarm.used for alarm in watch.near({"total_hour": 8}, HOUR)] == [8]


def test_near_tells_hour_and_day_apart() -> None:
    """Each total has its own window."""
    watch = alarms(total_hour=10, total_day=10, alarm_at=100)
    used = {"total_hour": 10, "total_day": 10}
    assert [alarm.scope for alarm in watch.near(used, 0.0)] == ["total_hour", "total_day"]
    assert [alarm.scope for alarm in watch.near(used, HOUR)] == ["total_hour"]
    assert [alarm.scope for alarm in watch.near(used, DAY)] == ["total_hour", "total_day"]


def test_near_ignores_totals_without_limit() -> None:
    """What has no limit is never near it."""
    assert alarms().near({"total_hour": 10**9, "total_day": 10**9, "elsewhere": 1}, 0.0) == []


def test_used_up_raises_once_per_window() -> None:
    """The first refusal of a window raises, the thousandth does not."""
    watch = alarms(total_day=5)
    first = watch.used_up("budget:total_day", "shop", 10.0)
    assert first is not None
    assert (first.event, first.scope, first.limit, first.used) == ("budget_used_up", "total_day", 5, 5)
    assert watch.used_up("budget:total_day", "other", DAY - 1) is None
    assert watch.used_up("budget:total_day", "shop", DAY) is not None


def test_used_up_tells_users_apart() -> None:
    """One user's empty budget does not hide another's."""
    watch = alarms(per_user_hour=5)
    raised = [watch.used_up("budget:user_hour", user, 0.0) for user in ("shop", "amqp", "shop")]
    assert [alarm and alarm.name for alarm in raised] == ["shop", "amqp", None]


def test_used_up_of_many_receivers_is_one_alarm() -> None:
    """Whoever tries a thousand numbers causes one alarm, and it names none of them."""
    watch = alarms(per_receiver_hour=1)
    raised = [watch.used_up("budget:receiver_hour", f"user{n}", 0.0) for n in range(1000)]
    assert [alarm.name for alarm in raised if alarm] == [""]


@pytest.mark.parametrize("reason", ["blocked", "country", "receiver_hour", "budget:", "budget:user_day"])
def test_used_up_other_reasons_raise_nothing(reason: str) -> None:
    """Only a budget that exists can be used up."""
    assert alarms().used_up(reason, "shop", 0.0) is None


def test_near_and_used_up_are_told_apart() -> None:
    """Both events of one window are raised."""
    watch = alarms(total_hour=1)
    assert watch.near({"total_hour": 1}, 0.0)
    assert watch.used_up("budget:total_hour", "shop", 0.0)


def test_guards_module_names_each_scope_of_the_settings() -> None:
    """Every limit of the settings stands in the table at the top of the module."""
    limits = [name for name in settings.Guards.model_fields if name.endswith(("_hour", "_day"))]
    assert limits
    for name in limits:
        assert name.removeprefix("per_") in (guards.__doc__ or "")
