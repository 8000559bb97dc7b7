"""The data set as the demo reads it, and a small part of it decided by the engine."""

import pytest

from tests.unit.demo.small_chain import CALENDAR, START_TIME, Chain, Till
from tools.demo import baskets, coupons, households, plan, program
from tools.demo.coupons import Coupons
from tools.demo.households import Households
from tools.demo.plan import Plan


@pytest.fixture(scope="session")
def planned_people() -> Households:
    return households.read()


@pytest.fixture(scope="session")
def planned_coupons() -> Coupons:
    return coupons.read(CALENDAR)


@pytest.fixture(scope="session")
def small_plan(planned_people: Households, planned_coupons: Coupons) -> Plan:
    """Return the day books of six hundred receipts."""
    return plan.write(baskets.read(CALENDAR, count=600), planned_people, planned_coupons)


@pytest.fixture(scope="session")
def small_chain(small_plan: Plan, planned_people: Households, planned_coupons: Coupons) -> Chain:
    """Return the small plan, decided by the engine."""
    offers = program.write(START_TIME, planned_coupons.offers)
    chain = Chain(small_plan, planned_people, planned_coupons, offers)
    Till(chain).run()
    return chain
