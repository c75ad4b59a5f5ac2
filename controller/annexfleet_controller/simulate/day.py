"""Lets time pass in a province: people come, are served and leave, paper and toner go, batteries fill and empty.

It only thinks: the world is handed in and changed, nothing is read or sent.  Rates are guesses that look right (an
annex of a Moroccan town sees some 200 people a day), not measurements.
"""

import itertools
import math
from collections.abc import Mapping
from datetime import datetime

from annexfleet_controller.simulate.province import SHEETS_IN_A_TRAY, Annex, Machine, Printer, Province, Queue

OPENS, CLOSES = 8.5, 16.5
"""Opening hours, Monday to Friday, in hours of the local day; `Province.hours` has the days that differ."""
ARRIVALS_PER_HOUR = ((8.5, 14.0), (9.5, 22.0), (11.0, 18.0), (12.5, 8.0), (14.0, 13.0), (15.5, 6.0), (16.5, 0.0))
"""People an hour and service at these hours; straight lines between."""
SERVICE_S = 420.0
PATIENCE_S = 5_400.0
PAGES_A_CITIZEN = (1, 4)
PAGES_A_CARTRIDGE = 3_000
REFILL_AFTER_S = (180.0, 600.0)
PRINTS_PENDING_MAX = 3
"""A counter does not begin with the next citizen while so many documents wait at its printer."""
BATTERY_HOURS = 7.0
CHARGE_HOURS = 2.5
LONGEST_STEP_S = 60.0
_HOUR_S = 3600.0


def advance(province: Province, seconds: float) -> None:
    """Let so many seconds pass, in steps that are short enough for a queue."""
    left = seconds
    while left > 0:
        step = min(left, LONGEST_STEP_S)
        left -= step
        province.now += step
        local = province.local()
        for annex in province.annexes:
            _pass(province, annex, local, step)


_USUAL: Mapping[str, tuple[float, float]] = {}


def is_open(local: datetime, hours: Mapping[str, tuple[float, float]] = _USUAL) -> bool:
    """Whether annexes are open then; `hours` as `Province.hours` has them."""
    span = hours.get(local.date().isoformat()) if hours else None
    if span is not None:
        return span[0] <= _hour(local) < span[1]
    return local.weekday() < 5 and OPENS <= _hour(local) < CLOSES


def arrivals_per_hour(local: datetime, hours: Mapping[str, tuple[float, float]] = _USUAL) -> float:
    """People who come for one service within an hour, at this moment of the local day."""
    if not is_open(local, hours):
        return 0.0
    opens, closes = hours.get(local.date().isoformat(), (OPENS, CLOSES))
    # A short day has the same crowds, closer together.
    hour = OPENS + (_hour(local) - opens) * (CLOSES - OPENS) / (closes - opens)
    for (from_hour, before), (to_hour, after) in itertools.pairwise(ARRIVALS_PER_HOUR):
        if from_hour <= hour < to_hour:
            return before + (after - before) * (hour - from_hour) / (to_hour - from_hour)
    return 0.0


def _hour(local: datetime) -> float:
    return local.hour + local.minute / 60 + local.second / 3600


def _pass(province: Province, annex: Annex, local: datetime, step: float) -> None:
    for queue in annex.queues.values():
        _queue(province, annex, queue, local, step)
    for printer in annex.printers:
        _print(province, annex, printer, local, step)
    for machine in annex.machines:
        _machine(province, annex, machine, local, step)


def counters(annex: Annex, service: str) -> list[Machine]:
    return [machine for machine in annex.machines if machine.service == service]


def _queue(province: Province, annex: Annex, queue: Queue, local: datetime, step: float) -> None:
    random, now = province.random, province.now
    # A small annex has fewer counters than services; people come where somebody serves them.
    desks = counters(annex, queue.service)
    share = min(1.0, len(desks) / 3)
    for _ in range(_poisson(province, arrivals_per_hour(local, province.hours) * share * queue.rush * step / _HOUR_S)):
        queue.waiting.append(now - random.uniform(0, step))
    while queue.waiting and now - queue.waiting[0] > PATIENCE_S:
        queue.waiting.popleft()
        queue.abandoned.append(now)
    if not is_open(local, province.hours):
        queue.waiting.clear()  # at closing time those who wait are sent home
    if not queue.halted:
        for desk in desks:
            _serve(province, queue, desk)
    for moments in (queue.served, queue.abandoned):
        while moments and now - moments[0] > _HOUR_S:
            moments.popleft()


def _serve(province: Province, queue: Queue, desk: Machine) -> None:
    random, now = province.random, province.now
    printer = desk.printers[0]
    if not desk.running or now < desk.serves_until or len(printer.jobs) >= PRINTS_PENDING_MAX or not queue.waiting:
        return
    queue.waiting.popleft()
    queue.served.append(now)
    desk.serves_until = now + random.lognormvariate(math.log(SERVICE_S), 0.4)
    printer.jobs.append([now, float(random.randint(*PAGES_A_CITIZEN))])


def _print(province: Province, annex: Annex, printer: Printer, local: datetime, step: float) -> None:
    random, now = province.random, province.now
    if annex.power and not printer.blocked:
        budget = printer.pages_per_minute * step / 60
        while printer.jobs and budget > 0:
            job = printer.jobs[0]
            done = min(job[1], budget, printer.sheets)
            job[1] -= done
            budget -= done
            printer.sheets -= done
            printer.pages += done
            printer.toner = max(0.0, printer.toner - done / PAGES_A_CARTRIDGE)
            if job[1] > 0:
                break
            printer.jobs.popleft()
    if printer.sheets < 1 and printer.refill_at is None and is_open(local, province.hours):
        printer.refill_at = now + random.uniform(*REFILL_AFTER_S)
    if printer.refill_at is not None and now >= printer.refill_at:
        printer.sheets, printer.refill_at = SHEETS_IN_A_TRAY, None
    if not is_open(local, province.hours):
        # After hours documents are cancelled, trays filled, and spent cartridges changed.
        printer.jobs.clear()
        printer.sheets = max(printer.sheets, SHEETS_IN_A_TRAY * 0.8)
        if printer.toner < 0.03:
            printer.toner = 1.0


def _machine(province: Province, annex: Annex, machine: Machine, local: datetime, step: float) -> None:
    random = province.random
    machine.on_mains = annex.power and not machine.charger_out
    opened = is_open(local, province.hours)
    if machine.has_battery:
        hours = step / _HOUR_S
        machine.charge += hours / CHARGE_HOURS if machine.on_mains else -hours / BATTERY_HOURS
        machine.charge = min(1.0, max(0.0, machine.charge))
    can_run = not (machine.unplugged or machine.switched_off or machine.silent)
    powered = can_run and (annex.power or (machine.has_battery and machine.charge > 0.02))
    if powered and not machine.running:
        machine.booted_at = province.now
    machine.running = powered
    working = opened and (not machine.service or province.now < machine.serves_until)
    target = 0.35 if working else 0.05
    machine.busy = _towards(machine.busy, target + random.gauss(0, 0.06), step, 90, low=0.01, high=0.99)
    machine.memory = _towards(machine.memory, (0.62 if opened else 0.4) + random.gauss(0, 0.03), step, 1200)
    machine.temperature = _towards(machine.temperature, 40 + 45 * machine.busy, step, 300, low=25, high=99)
    machine.signal_dbm = _towards(machine.signal_dbm, -55 + random.gauss(0, 3), step, 120, low=-90, high=-30)
    traffic = 2e5 * machine.busy * random.uniform(0.4, 1.6)
    machine.received_per_s, machine.sent_per_s = traffic, traffic * 0.3
    slow = 0.5 + (0.9 if 9.5 <= _hour(local) < 12 and opened else 0.0)
    machine.portal_s = _towards(machine.portal_s, slow + random.expovariate(8), step, 180, low=0.08, high=9)
    machine.disk_used = min(machine.disk_bytes, machine.disk_used + machine.busy * 2e3 * step)


def _towards(
    value: float, target: float, step: float, time_constant_s: float, *, low: float = 0.0, high: float = 1.0
) -> float:
    """A value that follows its target as something with inertia does."""
    return min(high, max(low, value + (target - value) * min(1.0, step / time_constant_s)))


def _poisson(province: Province, mean: float) -> int:
    """How many of many independent people come; Knuth's way, good for small means."""
    limit, count, product = math.exp(-mean), 0, province.random.random()
    while product > limit:
        count += 1
        product *= province.random.random()
    return count
