/* SPDX-License-Identifier: MIT */
/*
 * The program's own traps, faults and signals while the net is there: each is compared with the same one
 * before it was. What its handlers see must be equal to the last register; what kills it must kill it the
 * same way.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define N 5

static struct net_site sites[N];

static uint8_t trap_of(int signal)
{
	return signal == SIGTRAP ? 0xcc : signal == SIGSEGV ? 0xf4 : 0xce;
}

static const struct {
	enum victim_trap trap;
	int signal;
} cases[] = {
	{TRAP_INT3, SIGTRAP}, {TRAP_STEP, SIGTRAP}, {TRAP_KILL, SIGTRAP}, {TRAP_QUEUE, SIGTRAP},
	{TRAP_HLT, SIGSEGV},  {TRAP_NULL, SIGSEGV}, {TRAP_KILL, SIGSEGV}, {TRAP_QUEUE, SIGSEGV},
	{TRAP_CE, SIGILL},    {TRAP_UD2, SIGILL},   {TRAP_KILL, SIGILL},  {TRAP_QUEUE, SIGILL},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void armed_and_published(struct victim *victim, uint8_t trap)
{
	make_sites(victim, sites, N);
	arm(victim, trap, sites, N);
	ok(net_publish(victim->target, &victim->net));
	gate_up(victim, sites, N);
	assert_int_equal(victim_do(victim, VICTIM_CALL_ALL, N, 0, 0, 0), 0);
}

static void taken_down(struct victim *victim)
{
	gate_abort(victim, sites, N);
	ok(net_retire(victim->target, &victim->net));
}

static struct seen seen_at(struct victim *victim, enum victim_trap trap, int signal)
{
	memset(&victim->shared->seen, 0, sizeof(victim->shared->seen));
	victim_do(victim, VICTIM_TRAP, trap, (uint64_t)signal, 0, 0);
	return victim->shared->seen;
}

static void must_see(struct victim *victim, size_t c, const struct seen *before, const char *when,
		     uint64_t flags)
{
	const struct seen now = seen_at(victim, cases[c].trap, cases[c].signal);
	for (size_t i = 0; i < sizeof(now) / 8; i++)
		if (((const uint64_t *)&now)[i] != ((const uint64_t *)before)[i])
			fail_msg("%s, flags 0x%lx, trap %d, signal %d: word %zu is 0x%lx, not 0x%lx", when,
				 (long)flags, (int)cases[c].trap, cases[c].signal, i,
				 (long)((const uint64_t *)&now)[i], (long)((const uint64_t *)before)[i]);
	assert_int_equal(now.count, 1);
}

static void handlers_see_the_same(uint64_t flags, uint64_t mask)
{
	for (size_t c = 0; c < CASES; c++) {
		struct victim victim;
		victim_start(&victim);
		victim_do(&victim, VICTIM_HANDLER, (uint64_t)cases[c].signal, 2, flags, mask);
		const struct net_action action = action_of(&victim, cases[c].signal);
		seen_at(&victim, cases[c].trap, cases[c].signal);
		const struct seen before = seen_at(&victim, cases[c].trap, cases[c].signal);
		assert_int_equal(before.count, 1);
		assert_int_equal(before.on_stack, (flags & SA_ONSTACK) != 0);
		armed_and_published(&victim, trap_of(cases[c].signal));
		must_see(&victim, c, &before, "published", flags);
		taken_down(&victim);
		must_see(&victim, c, &before, "retired", flags);
		disarm(&victim);
		const struct net_action now = action_of(&victim, cases[c].signal);
		assert_memory_equal(&action, &now, sizeof(now));
		must_see(&victim, c, &before, "disarmed", flags);
		victim_end(&victim);
	}
}

static void test_plain(void **state)
{
	(void)state;
	handlers_see_the_same(0, 0);
}

static void test_siginfo(void **state)
{
	(void)state;
	handlers_see_the_same(SA_SIGINFO, 0x0000000000404002);
}

static void test_altstack(void **state)
{
	(void)state;
	handlers_see_the_same(SA_SIGINFO | SA_ONSTACK | SA_RESTART, 0x7fffffff00000000);
}

static void test_nodefer(void **state)
{
	(void)state;
	handlers_see_the_same(SA_SIGINFO | SA_NODEFER, 0);
}

enum stage {
	BARE,
	ARMED,
	PUBLISHED,
	DISARMED,
	STAGES
};

static void reach(struct victim *victim, enum stage stage, uint8_t trap)
{
	make_sites(victim, sites, N);
	if (stage == ARMED || stage == DISARMED)
		arm(victim, trap, sites, N);
	if (stage == DISARMED)
		disarm(victim);
	if (stage == PUBLISHED)
		armed_and_published(victim, trap);
}

/* SIG_DFL: killed by the same signal, the core flag the same. */
static void test_default_kills(void **state)
{
	(void)state;
	for (size_t c = 0; c < CASES; c++) {
		int first = 0;
		for (int stage = BARE; stage < STAGES; stage++) {
			struct victim victim;
			victim_start(&victim);
			reach(&victim, (enum stage)stage, trap_of(cases[c].signal));
			int status =
				victim_dies(&victim, VICTIM_TRAP, cases[c].trap, (uint64_t)cases[c].signal);
			if (stage == BARE)
				first = status;
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == cases[c].signal);
			assert_int_equal(status, first);
		}
	}
}

/* SIG_IGN: what is sent does nothing, what is forced kills. */
static void test_ignored(void **state)
{
	(void)state;
	for (size_t c = 0; c < CASES; c++) {
		const bool sent = cases[c].trap == TRAP_KILL || cases[c].trap == TRAP_QUEUE;
		for (int stage = BARE; stage < STAGES; stage++) {
			struct victim victim;
			victim_start(&victim);
			victim_do(&victim, VICTIM_HANDLER, (uint64_t)cases[c].signal, 1, 0, 0);
			const struct net_action before = action_of(&victim, cases[c].signal);
			reach(&victim, (enum stage)stage, trap_of(cases[c].signal));
			if (!sent) {
				int status = victim_dies(&victim, VICTIM_TRAP, cases[c].trap,
							 (uint64_t)cases[c].signal);
				assert_true(WIFSIGNALED(status) && WTERMSIG(status) == cases[c].signal);
				continue;
			}
			for (int i = 0; i < 3; i++)
				assert_int_equal(seen_at(&victim, cases[c].trap, cases[c].signal).count, 0);
			if (stage == PUBLISHED) {
				assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, N, 0, 0, 0), 0);
				taken_down(&victim);
			}
			if (stage != BARE)
				disarm(&victim);
			const struct net_action now = action_of(&victim, cases[c].signal);
			assert_memory_equal(&before, &now, sizeof(now));
			victim_end(&victim);
		}
	}
}

/* SA_RESETHAND: once; then SIG_DFL is what stands there, and what a second signal meets. */
static void test_resethand(void **state)
{
	(void)state;
	for (size_t c = 0; c < CASES; c++)
		for (int again = 0; again < 2; again++)
			for (int stage = BARE; stage < STAGES; stage++) {
				struct victim victim;
				victim_start(&victim);
				victim_do(&victim, VICTIM_HANDLER, (uint64_t)cases[c].signal, 2,
					  SA_SIGINFO | (uint64_t)(uint32_t)SA_RESETHAND, 0x4000);
				struct net_action before = action_of(&victim, cases[c].signal);
				reach(&victim, (enum stage)stage, trap_of(cases[c].signal));
				assert_int_equal(seen_at(&victim, cases[c].trap, cases[c].signal).count, 1);
				if (stage == PUBLISHED) /* the net is still there */
					assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, N, 0, 0, 0), 0);
				if (again) {
					int status = victim_dies(&victim, VICTIM_TRAP, cases[c].trap,
								 (uint64_t)cases[c].signal);
					assert_true(WIFSIGNALED(status) &&
						    WTERMSIG(status) == cases[c].signal);
					continue;
				}
				if (stage == PUBLISHED)
					taken_down(&victim);
				if (stage != BARE)
					disarm(&victim);
				before.handler = 0;
				const struct net_action now = action_of(&victim, cases[c].signal);
				assert_memory_equal(&before, &now, sizeof(now));
				victim_end(&victim);
			}
}

/* The program sets another handler meanwhile: it stays, through disarming and repairing. */
static void test_program_changes(void **state)
{
	struct victim victim;
	enum net_handler what;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, N);
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 2, SA_SIGINFO, 0);
	arm(&victim, 0xcc, sites, N);
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 3, SA_SIGINFO, 0x10);
	const struct net_action set = action_of(&victim, SIGTRAP);
	struct remote *remote = borrow(&victim);
	ok(net_repair_handler(victim.target, remote, &victim.net, &what));
	assert_int_equal(what, NET_HANDLER_PROGRAMS);
	give_back(remote);
	disarm(&victim);
	struct net_action now = action_of(&victim, SIGTRAP);
	assert_memory_equal(&set, &now, sizeof(now));
	assert_int_equal(seen_at(&victim, TRAP_INT3, SIGTRAP).handler, 3);
	/* SIG_DFL, too, which is not what the kernel makes of ours. */
	arm(&victim, 0xcc, sites, N);
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 0, 0, 0);
	remote = borrow(&victim);
	ok(net_repair_handler(victim.target, remote, &victim.net, &what));
	assert_int_equal(what, NET_HANDLER_PROGRAMS);
	give_back(remote);
	disarm(&victim);
	assert_int_equal(action_of(&victim, SIGTRAP).handler, 0);
	victim_end(&victim);
}

/* It saved what sigaction() told while ours was there, and sets that later, after others: it means its own.
 */
static void test_program_restores_ours(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, N);
	victim_do(&victim, VICTIM_HANDLER, SIGSEGV, 2, SA_SIGINFO, 0x20);
	const struct net_action own = action_of(&victim, SIGSEGV);
	arm(&victim, 0xf4, sites, N);
	victim_do(&victim, VICTIM_SAVE, SIGSEGV, 0, 0, 0);
	disarm(&victim);
	/* Its next handler has another entry; and so has another signal's. */
	victim_do(&victim, VICTIM_HANDLER, SIGSEGV, 3, SA_SIGINFO, 0);
	arm(&victim, 0xf4, sites, N);
	assert_int_equal(seen_at(&victim, TRAP_NULL, SIGSEGV).handler, 3);
	disarm(&victim);
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 3, SA_SIGINFO, 0);
	arm(&victim, 0xcc, sites, N);
	assert_int_equal(seen_at(&victim, TRAP_INT3, SIGTRAP).handler, 3);
	assert_int_equal(victim_do(&victim, VICTIM_RESTORE, SIGSEGV, 0, 0, 0), 0);
	assert_int_equal(seen_at(&victim, TRAP_NULL, SIGSEGV).handler, 2);
	disarm(&victim);
	assert_int_equal(seen_at(&victim, TRAP_NULL, SIGSEGV).handler, 2);
	/* An action over it works, and leaves the program's own. */
	armed_and_published(&victim, 0xf4);
	assert_int_equal(seen_at(&victim, TRAP_HLT, SIGSEGV).handler, 2);
	taken_down(&victim);
	disarm(&victim);
	const struct net_action now = action_of(&victim, SIGSEGV);
	assert_memory_equal(&own, &now, sizeof(now));
	victim_end(&victim);
}

/* More different handlers than there are entries: refused, and nothing is lost. */
static void test_too_many_handlers(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, N);
	for (uint64_t i = 0; i < NET_PROGRAMS_MAX; i++) {
		victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 2, SA_SIGINFO, i << 32);
		arm(&victim, 0xcc, sites, N);
		disarm(&victim);
	}
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 3, SA_SIGINFO, 0);
	struct remote *remote = borrow(&victim);
	refused(net_arm(victim.target, remote, &victim.net, SIGTRAP, 0xcc, 1, victim.shared->word, 100, sites,
			N),
		USP_UNSUPPORTED, "different handlers");
	refused(net_publish(victim.target, &victim.net), USP_WRONG_STATE, "not armed");
	give_back(remote);
	assert_int_equal(seen_at(&victim, TRAP_INT3, SIGTRAP).handler, 3);
	/* One that was there before has its entry. */
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 2, SA_SIGINFO, 3ull << 32);
	arm(&victim, 0xcc, sites, N);
	disarm(&victim);
	victim_end(&victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_siginfo),
		cmocka_unit_test(test_altstack),
		cmocka_unit_test(test_nodefer),
		cmocka_unit_test(test_default_kills),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_resethand),
		cmocka_unit_test(test_program_changes),
		cmocka_unit_test(test_program_restores_ours),
		cmocka_unit_test(test_too_many_handlers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
