/* SPDX-License-Identifier: MIT */
/* Sites that trap with no tracer at all: old until the commit word changes, new from then on; late traps; a
 * handler that the kernel has reset. */
#define _GNU_SOURCE
#include "fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static struct net_site sites[FUNCTIONS];

/* Bit signal - 1 of a line of /proc/PID/status. */
static bool status_has(const struct victim *victim, const char *line, int signal)
{
	char path[64], text[256];
	unsigned long long mask = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", victim->pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(text, sizeof(text), f))
		if (!strncmp(text, line, strlen(line)))
			mask = strtoull(text + strlen(line) + 1, NULL, 16);
	fclose(f);
	return mask >> (signal - 1) & 1;
}

static void serve(uint8_t trap, bool switched, uint64_t n)
{
	struct victim victim;
	victim_start(&victim);
	const int signal = net_trap(trap)->signal;
	const struct net_action before = action_of(&victim, signal);
	make_sites(&victim, sites, n);
	victim_do(&victim, VICTIM_START, 3, n, 0, 0);
	arm(&victim, trap, sites, n);
	assert_true(status_has(&victim, "SigCgt:", signal));
	ok(net_publish(victim.target, &victim.net));
	gate_up(&victim, sites, n);
	assert_int_equal(text_is(&victim, sites, n), 't');
	assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, n, 0, 0, 0), 0);
	victim_calls_on(&victim, false);
	if (switched) {
		commit(&victim);
		assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, n, 0, 0, 0), n);
		victim_calls_on(&victim, true);
		gate_switch(&victim, sites, n);
	} else {
		gate_abort(&victim, sites, n);
	}
	ok(net_retire(victim.target, &victim.net));
	victim_calls_on(&victim, switched);
	disarm(&victim);
	victim_calls_on(&victim, switched);
	assert_int_equal(text_is(&victim, sites, n), switched ? 'n' : 'o');
	const struct net_action after = action_of(&victim, signal);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_false(status_has(&victim, "SigCgt:", signal));
	victim_end(&victim);
}

static void test_cc(void **state)
{
	(void)state;
	serve(0xcc, false, 10);
	serve(0xcc, true, 10);
}

static void test_f4(void **state)
{
	(void)state;
	serve(0xf4, false, 10);
	serve(0xf4, true, 10);
}

static void test_ce(void **state)
{
	(void)state;
	serve(0xce, false, 10);
	serve(0xce, true, 1);
}

static void test_1000_sites(void **state)
{
	(void)state;
	serve(0xcc, true, FUNCTIONS);
}

/* Tries over and over, as the gate makes them, while threads run. */
static void test_many_tries(void **state)
{
	struct victim victim;
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		const uint8_t trap = (const uint8_t[]){0xcc, 0xf4, 0xce}[kind];
		victim_start(&victim);
		make_sites(&victim, sites, 20);
		victim_do(&victim, VICTIM_START, 4, 20, 0, 0);
		for (int i = 0; i < 100; i++) {
			if (i % 10 == 0)
				arm(&victim, trap, sites, 20);
			ok(net_publish(victim.target, &victim.net));
			gate_up(&victim, sites, 20);
			gate_abort(&victim, sites, 20);
			ok(net_retire(victim.target, &victim.net));
		}
		victim_calls_on(&victim, false);
		/* A late trap may be on its way until every thread has come round. */
		disarm(&victim);
		victim_end(&victim);
	}
}

/* Under ptrace until it traps. */
static void seize(pid_t tid)
{
	assert_int_equal(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
}

static void wait_for_signal(pid_t tid, int signal)
{
	int status;
	for (;;) {
		assert_int_equal(waitpid(tid, &status, __WALL), tid);
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) == signal && !(status >> 16))
			return;
		assert_int_equal(ptrace(PTRACE_CONT, tid, 0, 0), 0);
	}
}

/* Caught at its trap, let on with the signal when the site does not trap any more. */
static void test_late(void **state)
{
	struct victim victim;
	(void)state;
	for (int kind = 0; kind < 6; kind++) {
		const uint8_t trap = (const uint8_t[]){0xcc, 0xf4, 0xce}[kind / 2];
		const bool switched = kind % 2;
		victim_start(&victim);
		make_sites(&victim, sites, 5);
		victim_do(&victim, VICTIM_START, 1, 5, 0, 0);
		const pid_t tid = victim.shared->tids[0];
		const int signal = net_trap(trap)->signal;
		arm(&victim, trap, sites, 5);
		ok(net_publish(victim.target, &victim.net));
		seize(tid);
		gate_up(&victim, sites, 5);
		wait_for_signal(tid, signal);
		if (switched)
			gate_switch(&victim, sites, 5);
		else
			gate_abort(&victim, sites, 5);
		ok(net_retire(victim.target, &victim.net));
		assert_int_equal(ptrace(PTRACE_DETACH, tid, 0, (long)signal), 0);
		victim_calls_on(&victim, switched);
		/* The next action finds the same thread late at the same site: no fault either. */
		if (!switched) {
			ok(net_publish(victim.target, &victim.net));
			seize(tid);
			gate_up(&victim, sites, 5);
			wait_for_signal(tid, signal);
			gate_abort(&victim, sites, 5);
			assert_int_equal(ptrace(PTRACE_DETACH, tid, 0, (long)signal), 0);
			victim_calls_on(&victim, false);
			ok(net_retire(victim.target, &victim.net));
		}
		disarm(&victim);
		victim_end(&victim);
	}
}

/* A site whose own first instruction faults, before, meanwhile and after: the program's handler gets it, once
 * for each, at the site. */
static void test_site_faults(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim);
	struct net_site site = {.address = victim.shared->aligned,
				.old_to = victim.shared->aligned,
				.new_to = victim.shared->aligned,
				.length = 3};
	assert_int_equal(target_read(victim.target, site.address, site.old_bytes, 3), 0);
	memcpy(site.new_bytes, site.old_bytes, 3);
	victim_do(&victim, VICTIM_HANDLER, SIGSEGV, 2, SA_SIGINFO, 0);
	arm(&victim, 0xf4, &site, 1);
	for (uint64_t i = 0; i < 20; i++) {
		if (i == 5)
			ok(net_publish(victim.target, &victim.net));
		if (i == 10)
			ok(net_retire(victim.target, &victim.net));
		if (i == 15)
			disarm(&victim);
		assert_int_equal(victim_do(&victim, VICTIM_ALIGNED, 0, 0, 0, 0), 7);
		assert_int_equal(victim.shared->seen.count, i);
		assert_int_equal(victim_do(&victim, VICTIM_ALIGNED, 1, 0, 0, 0), 7);
		assert_int_equal(victim.shared->seen.count, i + 1);
		assert_int_equal(victim.shared->seen.context[16], site.address);
	}
	victim_end(&victim);
}

/* A trap in a thread that blocks its signal: the kernel resets the handler, a controller repairs it. */
static void test_repair(void **state)
{
	struct victim victim;
	enum net_handler what;
	struct user_regs_struct registers;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, 1);
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 2, SA_SIGINFO, 0x200);
	const struct net_action before = action_of(&victim, SIGTRAP);
	victim_do(&victim, VICTIM_START, 1, 1, 1, 0);
	const pid_t tid = victim.shared->tids[0];
	for (int i = 0; i < 3; i++) {
		arm(&victim, 0xcc, sites, 1);
		const struct net_action ours = action_of(&victim, SIGTRAP);
		assert_int_not_equal(ours.handler, before.handler);
		ok(net_publish(victim.target, &victim.net));
		seize(tid);
		uint64_t mask = ~0ull;
		gate_up(&victim, sites, 1);
		wait_for_signal(tid, SIGTRAP);
		assert_false(status_has(&victim, "SigCgt:", SIGTRAP)); /* as the facts say */
		struct remote *remote = borrow(&victim);
		if (i < 2) { /* else: net_disarm() alone must do */
			ok(net_repair_handler(victim.target, remote, &victim.net, &what));
			assert_int_equal(what, NET_HANDLER_REPAIRED);
			ok(net_repair_handler(victim.target, remote, &victim.net, &what));
			assert_int_equal(what, NET_HANDLER_OURS);
		}
		give_back(remote);
		if (i < 2) {
			const struct net_action now = action_of(&victim, SIGTRAP);
			assert_memory_equal(&ours, &now, sizeof(now));
		}
		gate_abort(&victim, sites, 1);
		assert_int_equal(ptrace(PTRACE_GETREGS, tid, 0, &registers), 0);
		registers.rip = sites[0].address;
		assert_int_equal(ptrace(PTRACE_SETREGS, tid, 0, &registers), 0);
		assert_int_equal(ptrace(PTRACE_SETSIGMASK, tid, 8, &mask), 0);
		assert_int_equal(ptrace(PTRACE_DETACH, tid, 0, 0), 0);
		victim_calls_on(&victim, false);
		ok(net_retire(victim.target, &victim.net));
		disarm(&victim);
		const struct net_action after = action_of(&victim, SIGTRAP);
		assert_memory_equal(&before, &after, sizeof(before));
	}
	struct remote *remote = borrow(&victim);
	ok(net_repair_handler(victim.target, remote, &victim.net, &what));
	assert_int_equal(what, NET_HANDLER_NONE);
	give_back(remote);
	victim_end(&victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cc),	    cmocka_unit_test(test_f4),
		cmocka_unit_test(test_ce),	    cmocka_unit_test(test_1000_sites),
		cmocka_unit_test(test_many_tries),  cmocka_unit_test(test_late),
		cmocka_unit_test(test_site_faults), cmocka_unit_test(test_repair),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
