# SPDX-License-Identifier: MIT
"""--timeline: what a trace viewer is told of an action agrees with itself and with what was to happen."""

from harness import *

FIX = replacing(("int value(void)", "return 2;"), ("int other(void)", "return 20;"))
SITES = {"value", "other"}


class Trace:
    """The file, read and checked: every time makes sense, and events lie in one another or apart."""

    def __init__(self, path, *pids):
        with open(path) as f:
            self.root = json.load(f)
        self.events = [e for e in self.root["traceEvents"] if e["ph"] != "M"]
        self.labels = {(e["name"], e["pid"], e["tid"]): e["args"]["name"]
                       for e in self.root["traceEvents"] if e["ph"] == "M"}
        self.results = {p["pid"]: p["result"] for p in self.root["otherData"]["processes"]}
        equal(sorted(self.results), sorted(pids), "processes told of")
        for p in self.root["otherData"]["processes"]:
            equal(p["dropped"], 0, "events dropped")
        for e in self.events:
            check(e["ph"] in "Xi" and e["ts"] >= 0 and e.get("dur", 0) >= 0, "no event: %s" % e)
            e["begin"] = round(e["ts"] * 1000)  # nanoseconds: whole numbers compare without surprises
            e["end"] = e["begin"] + round(e.get("dur", 0) * 1000)
            e["what"], e["detail"] = e["args"]["event"], e["args"].get("detail")
        for track in {(e["pid"], e["tid"]) for e in self.events}:
            self.nested(track)
            check(("thread_name",) + track in self.labels, "the track %d, %d has no name" % track)
        self.actions = self.phases("action")
        equal(len(self.actions), len(pids), "actions")
        for e in self.events:
            check(any(inside(e, a) for a in self.actions), "%s is not in an action" % e)

    def nested(self, track):
        open_ones, last = [], 0
        for e in self.events:
            if (e["pid"], e["tid"]) != track:
                continue
            check(e["begin"] >= last, "the events of %s are not in order: %s" % (track, e))
            last = e["begin"]
            while open_ones and open_ones[-1]["end"] <= e["begin"]:
                open_ones.pop()
            check(not open_ones or e["end"] <= open_ones[-1]["end"],
                  "%s overlaps %s" % (e, open_ones and open_ones[-1]))
            open_ones.append(e)

    def phases(self, *what):
        return [e for e in self.events if e["cat"] == "action" and (not what or e["what"] in what)]

    def of(self, tid, *what):
        return [e for e in self.events if e["cat"] == "thread" and e["tid"] == tid and (not what or e["what"] in what)]

    def threads(self, *what):
        return [e for e in self.events if e["cat"] == "thread" and e["what"] in what]

    def steps(self, within, *names):
        """Exactly these lie directly in it, moments left out, in this order; gives them by name."""
        found = [e for e in self.phases() if e is not within and e["ph"] == "X" and inside(e, within)]
        found = [e for e in found if not any(o is not e and o is not within and inside(e, o) for o in found)]
        equal([e["what"] for e in found], list(names), "steps of %s" % within["name"])
        return {e["what"]: e for e in found}


def inside(e, other):
    return other["begin"] <= e["begin"] and e["end"] <= other["end"]


def traced(v, *words, pids=None, **how):
    """(Result, Trace) of an action."""
    path = tmp("trace.json")
    r = on(v, *words, "--timeline", path, **how)
    return r, Trace(path, *(pids or [v.pid]))


def sleepers_of(v):
    return {int(w.split(":")[1]): w.split(":")[0] for w in v.ask("sleepers").split()}


GATE = ("choose trap", "arm net", "take helper", "seize", "ask", "first look")
SWITCH = ("ready", "traps", "sync 1", "drain", "commit", "tails", "sync 2", "first bytes", "sync 3", "let go")


def with_somebody_held(v):
    """Switches there and back until a caller was caught at a trap."""
    started = time.monotonic()
    while True:
        _, t = traced(v, "apply", "fix", "--mode", "gate")
        if t.threads("held"):
            return t
        check(time.monotonic() - started < PATIENCE, "nobody was ever held")
        on(v, "revert", "fix", "--mode", "gate")


@case
def by_gate():
    v = Victim("sleepers")
    sleepers = sleepers_of(v)
    on(v, "upload", cc("fix", FIX, v))
    t = with_somebody_held(v)
    action = t.actions[0]
    equal((action["name"], action["detail"]), ("apply fix", "done"))
    tries = t.phases("try")
    parts = t.steps(action, "lock", "read", "prepare", "open gate", "intent", *["try", "pause"] * (len(tries) - 1),
                    "try", "close gate", "settle", "tracer's end")
    t.steps(parts["open gate"], *GATE)
    steps = t.steps(parts["try"], *SWITCH)
    equal((tries[-1]["detail"], tries[-1]["args"]["number"]), ("committed", len(tries)))
    equal([steps[s]["args"]["number"] for s in ("traps", "tails", "first bytes")], [2, 2, 2], "sites written")
    t.steps(parts["close gate"], "finish traps", "disarm", "helper's end")
    # Who is held is held from a trap to the letting go, and it is said in which function.
    for held in t.threads("held"):
        check(held["detail"] in SITES and held["name"] == "held: " + held["detail"], "held where? %s" % held)
        check(held["tid"] not in sleepers, "a sleeper was held: %s" % held)
        check(steps["traps"]["begin"] <= held["begin"] and held["end"] <= steps["let go"]["end"],
              "held while there was no gate: %s" % held)
    check(any(held["end"] >= steps["sync 3"]["end"] for held in t.threads("held")), "nobody was held to the end")
    # Sleepers are looked at where they lie.
    borrowed = {e["tid"] for e in t.threads("borrowed")}
    equal(len(borrowed), 1, "threads borrowed")
    for tid, name in sleepers.items():
        if tid in borrowed:
            continue  # it may have been on its way back to sleep
        check(t.of(tid, "look"), "nobody looked at %s" % name)
        equal({e["detail"] for e in t.of(tid, "look")}, {"outside"}, "looks at %s" % name)
        equal([e["what"] for e in t.of(tid, "asked", "stopped", "passed", "held")], [], "what was done to %s" % name)
    for tid in v.threads():
        contains(t.labels["thread_name", v.pid, tid], str(tid))
        check(t.of(tid), "thread %d has no track" % tid)
    equal(t.labels["process_name", v.pid, v.pid], "sleepers (%d)" % v.pid)
    helper = t.threads("helper")
    equal(len(helper), 1, "helpers")
    equal(t.labels["thread_name", v.pid, helper[0]["tid"]].split(" %d" % helper[0]["tid"])[0], "usplice helper"[:15])


@case
def threads_that_block_the_signal():
    path = tmp("page")
    with open(path, "wb") as f:
        f.truncate(4096)
    v = Victim("gate", path, "deaf=3", "mute=2")
    on(v, "upload", cc("fix", replacing(("int park(void)", "return -5;")), v))
    _, t = traced(v, "apply", "fix", "--mode", "gate")
    unblocked = sorted(e["tid"] for e in t.threads("unblocked"))
    equal(len(unblocked), 5, "threads that were unblocked")
    equal(sorted(e["tid"] for e in t.threads("blocked again")), unblocked)
    # Each in a stop that it was asked for.
    for e in t.threads("unblocked", "blocked again"):
        stops = [s for s in t.of(e["tid"], "stopped") if inside(e, s)]
        equal(len(stops), 1, "stops around %s" % e)
        check(any(a["end"] == stops[0]["begin"] for a in t.of(e["tid"], "asked")), "nobody asked for %s" % stops[0])
    open_gate = t.phases("open gate")[0]
    check(all(inside(e, open_gate) for e in t.threads("unblocked")), "unblocked before the gate is open")
    on(v, "revert", "fix", "--mode", "gate")


@case
def forked_children():
    path = tmp("page")
    with open(path, "wb") as f:
        f.truncate(4096)
    v = Victim("gate", path, "plain=1", "fork=1")
    on(v, "upload", cc("fix", replacing(("int park(void)", "return -5;")), v))
    started = time.monotonic()
    while True:
        _, t = traced(v, "apply", "fix", "--mode", "gate")
        born = t.threads("made whole", "waits")
        on(v, "revert", "fix", "--mode", "gate")
        if born:
            break
        check(time.monotonic() - started < PATIENCE, "no child was ever met")
    for child in born:
        contains(t.labels["thread_name", v.pid, child["tid"]], "forked child")
        check(child["tid"] not in v.threads(), "a thread is called a child: %s" % child)


@case
def by_rendezvous():
    v = Victim("sleepers")
    p = cc("fix", FIX, v)
    _, t = traced(v, "load", p, "--mode", "rendezvous")
    tries = t.phases("try")
    parts = t.steps(t.actions[0], "lock", "read", "plan", "upload", "prepare", "intent",
                    *["try", "pause"] * (len(tries) - 1), "try", "settle")
    steps = t.steps(parts["try"], "seize", "stop", "looks", "sites", "sync 1", "commit", "release")
    equal(steps["sites"]["args"]["number"], 2, "sites written")
    for tid in v.threads():
        stops = t.of(tid, "stopped")
        equal(len(stops), len(t.phases("release")), "stops of thread %d" % tid)
        check(stops[-1]["begin"] >= steps["stop"]["begin"] and stops[-1]["end"] >= steps["commit"]["end"],
              "thread %d does not stand still: %s" % (tid, stops[-1]))
        check(inside(stops[-1], parts["try"]), "thread %d stands still for longer than the try" % tid)
        looks = [e for e in t.of(tid, "look") if inside(e, stops[-1])]
        equal([e["detail"] for e in looks], ["outside"], "looks at thread %d" % tid)
        check(tid in {key[2] for key in t.labels}, "thread %d has no name" % tid)


def blocked(mode):
    v = Victim("inside")
    p = cc("fix", replacing(("int nap(int depth)", "return -1;")), v)
    equal(v.ask("enter plain 3"), "entered")
    named = None
    started = time.monotonic()
    while not named:  # on a very busy machine nobody may have stopped in time
        r, t = traced(v, "load", p, "--mode", mode, "--timeout", "800ms", code=NOT_QUIESCENT)
        named = re.search(r"thread (\d+) \(sleeper", r.err)
        check(time.monotonic() - started < PATIENCE, "it never says who is inside\n%s" % r)
    blocker = int(named.group(1))
    equal(t.results[v.pid], "not-quiescent")
    equal(t.actions[0]["detail"], "not-quiescent")
    tries = t.phases("try")
    check(len(tries) >= 2, "tries: %s" % tries)
    equal([e["args"]["number"] for e in tries], list(range(1, len(tries) + 1)), "numbers of tries")
    equal(len(t.phases("pause")), len(tries) - 1, "pauses")
    # On a busy machine a try may end before everybody was stopped or looked at.
    found = [e for e in tries if e["detail"] == "somebody inside"]
    check(found, "nobody was found inside: %s" % [e["detail"] for e in tries])
    equal(len(t.phases("blocked by")), len(found), "tries that somebody was in the way of")
    for each in found:
        who = [e for e in t.phases("blocked by") if inside(e, each)]
        equal([(e["detail"], e["args"]["number"]) for e in who], [("sleeper", blocker)], "who is in the way")
        where = [e for e in t.of(blocker, "inside") if inside(e, each)]
        equal(len(where), 1, "where")
        contains(where[0]["detail"], "nap")
    equal(t.phases("commit", "sites", "traps"), [], "things done")
    check("inside" in {e["detail"] for e in t.of(blocker, "look")}, "no look found it inside")
    equal(states(v), [])
    equal(v.ask("leave"), "3")


@case
def a_gate_that_is_not_raised():
    blocked("gate")


@case
def a_gate_that_is_raised_in_vain():
    path = tmp("page")
    with open(path, "wb") as f:
        f.truncate(4096)
    v = Victim("gate", path)
    spin = """sites_values[0] = 77;
        while (!__atomic_load_n(&sites_never, __ATOMIC_SEQ_CST))
            ;
        return -5;"""
    on(v, "load", cc("spin", replacing(("int park(void)", spin), extra="extern int sites_never, sites_values[];"), v))
    v.tell("pass")
    until(lambda: memory(v.pid, runtime(v, "sites_values"), 4) == (77).to_bytes(4, "little"), "it is inside")
    started, asked = time.monotonic(), False
    while not asked:  # it may have had no CPU to stop on
        _, t = traced(v, "revert", "spin", "--mode", "gate", "--timeout", "500ms", code=NOT_QUIESCENT)
        for each in t.phases("try"):
            equal(each["detail"], "somebody inside")
            parts = t.steps(each, "ready", "traps", "sync 1", "drain", "traps away", "sync 2", "let go")
            stops = [e for e in t.of(v.pid, "stopped") if inside(e, parts["drain"])]
            if stops:
                asked = True
                equal({e["detail"] for e in stops}, {"inside"}, "by its registers")
                equal([e["args"]["number"] for e in t.phases("blocked by") if inside(e, each)], [v.pid], "who it was")
        check(time.monotonic() - started < PATIENCE, "it was never asked")
    poke(v.pid, runtime(v, "sites_never"), b"\x01")
    equal(v.line(), "-5")
    _, t = traced(v, "revert", "spin", "--mode", "gate")
    equal(t.phases("try")[-1]["detail"], "committed")


@case
def a_rendezvous_in_vain():
    blocked("rendezvous")


@case
def no_gate_where_there_can_be_none():
    v = Victim("sleepers")
    hook = "static void at_load(void)\n{\n}\nUSPLICE_LOAD_HOOK(at_load);\n"
    _, t = traced(v, "load", cc("fix", FIX + hook, v), "--mode", "gate")
    equal(t.phases("open gate", "drain"), [], "steps of a gate")
    check(t.phases("stop") and t.phases("hook"), "no rendezvous")


@case
def revert_and_unload():
    v = Victim("sleepers")
    on(v, "load", cc("fix", FIX, v), "--mode", "gate")
    _, t = traced(v, "revert", "fix", "--mode", "gate")
    equal(t.actions[0]["name"], "revert fix")
    check(t.phases("first bytes"), "nothing was written")
    _, t = traced(v, "unload", "fix", "--mode", "gate")
    equal(t.phases("traps", "first bytes", "sync 1", "commit"), [], "things written for an unload")
    check(t.phases("drain"), "nobody was waited for")


@case
def a_refused_action():
    v = Victim("sleepers")
    on(v, "load", cc("fix", FIX, v))
    _, t = traced(v, "apply", "fix", code=WRONG_STATE)
    equal(t.actions[0]["detail"], "wrong-state")
    equal(t.phases("try"), [], "tries")


@case
def a_dry_run():
    v = Victim("sleepers")
    _, t = traced(v, "load", cc("fix", FIX, v), "--dry-run")
    t.steps(t.actions[0], "lock", "read", "plan", "upload")


@case
def several_processes():
    v, name, children = family(3)
    p = value_payload("fix", 2, v)
    path = tmp("all.json")
    run("load", p, "--process", name, "--all", "--timeline", path)
    pids = [v.pid] + children
    t = Trace(path, *pids)
    equal(set(t.results.values()), {"done"})
    for one, next_one in zip(t.actions, t.actions[1:]):
        check(one["end"] <= next_one["begin"], "two actions at one time")
    for pid in pids:
        contains(t.labels["process_name", pid, pid], str(pid))
        check([e for e in t.events if e["pid"] == pid], "nothing of process %d" % pid)
    for step in ("revert", "unload"):
        run(step, "fix", "--process", name, "--all")


@case
def a_file_that_cannot_be_written():
    v = Victim("sleepers")
    p = cc("fix", FIX, v)
    text = Text(v.pid)
    before = maps(v.pid)
    r = on(v, "load", p, "--timeline", tmp("none", "trace.json"), code=FAILED)
    contains(r.err, tmp("none", "trace.json"), "No such file or directory")
    r = on(v, "load", p, "--timeline", tmp(), code=FAILED)
    contains(r.err, "Is a directory")
    text.same_as(Text(v.pid))
    equal(len(maps(v.pid)), len(before), "mappings")
    equal(v.ask("value"), "1")


main()
