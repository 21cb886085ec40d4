/* SPDX-License-Identifier: MIT */
/* Left alone with sites that trap: the helper ends the action by itself; where it cannot, the handler serves
 * on. */
#define _GNU_SOURCE
#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static struct net_site sites[FUNCTIONS];

static void gone(struct victim *victim, pid_t tid)
{
	while (thread_exists(victim, tid)) {
		assert_int_equal(waitpid(victim->pid, NULL, WNOHANG), 0);
		poll(NULL, 0, 1);
	}
}

/* The steps of a controller up to where it is killed. */
static struct threads *published_with_helper(struct victim *victim, uint8_t trap, uint64_t n, bool switched,
					     pid_t *tid)
{
	make_sites(victim, sites, n);
	victim_do(victim, VICTIM_START, 3, n, 0, 0);
	arm(victim, trap, sites, n);
	struct threads *helper = spawn_held(victim, tid);
	ok(net_publish(victim->target, &victim->net));
	gate_up(victim, sites, n);
	if (switched)
		commit(victim);
	assert_int_equal(victim_do(victim, VICTIM_CALL_ALL, n, 0, 0, 0), switched ? n : 0);
	return helper;
}

static void left_alone(uint8_t trap, uint64_t n, bool switched)
{
	struct victim victim;
	pid_t tid;
	victim_start(&victim);
	struct threads *helper = published_with_helper(&victim, trap, n, switched, &tid);
	assert_int_equal(text_is(&victim, sites, n), 't');
	threads_detach(helper);
	gone(&victim, tid);
	assert_int_equal(text_is(&victim, sites, n), switched ? 'n' : 'o');
	victim_calls_on(&victim, switched);
	assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, n, 0, 0, 0), switched ? n : 0);
	ok(net_retire(victim.target, &victim.net));
	disarm(&victim);
	victim_calls_on(&victim, switched);
	victim_end(&victim);
}

static void test_undoes(void **state)
{
	(void)state;
	left_alone(0xcc, 10, false);
	left_alone(0xf4, 10, false);
	left_alone(0xce, 1, false);
}

static void test_finishes(void **state)
{
	(void)state;
	left_alone(0xcc, 10, true);
	left_alone(0xf4, 1, true);
	left_alone(0xce, 10, true);
}

/* Left alone between new tails and a commit that comes after them: whole old bytes again. */
static void test_undoes_tails(void **state)
{
	struct victim victim;
	pid_t tid;
	(void)state;
	victim_start(&victim);
	struct threads *helper = published_with_helper(&victim, 0xcc, 10, false, &tid);
	rounds(&victim); /* drained: nobody stands where tails are written */
	for (size_t k = 0; k < 10; k++)
		write_text(&victim, sites[k].address + 1, sites[k].old_bytes + 1, sites[k].new_bytes + 1,
			   sites[k].length - 1u);
	threads_detach(helper);
	gone(&victim, tid);
	assert_int_equal(text_is(&victim, sites, 10), 'o');
	victim_calls_on(&victim, false);
	ok(net_retire(victim.target, &victim.net));
	disarm(&victim);
	victim_end(&victim);
}

static void test_1000_sites(void **state)
{
	(void)state;
	left_alone(0xcc, FUNCTIONS, true);
	left_alone(0xcc, FUNCTIONS, false);
}

/* Only what traps is touched: sites that are old or new already, or somebody else's. */
static void test_half_way(void **state)
{
	struct victim victim;
	pid_t tid;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, 6);
	arm(&victim, 0xcc, sites, 6);
	struct threads *helper = spawn_held(&victim, &tid);
	ok(net_publish(victim.target, &victim.net));
	gate_up(&victim, sites + 2, 4);
	commit(&victim);
	gate_switch(&victim, sites + 4, 2);
	threads_detach(helper);
	gone(&victim, tid);
	assert_int_equal(text_is(&victim, sites, 2), 'o');
	assert_int_equal(text_is(&victim, sites + 2, 4), 'n');
	victim_end(&victim);
}

/* Told to end; and a number that is not the latest ends by itself even when sites are published. */
static void test_done(void **state)
{
	struct victim victim;
	pid_t tid;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, 3);
	arm(&victim, 0xcc, sites, 3);
	struct threads *helper = spawn_held(&victim, &tid);
	ok(net_done(victim.target, &victim.net));
	ok(net_publish(victim.target, &victim.net));
	gate_up(&victim, sites, 3);
	threads_detach(helper);
	gone(&victim, tid);
	assert_int_equal(text_is(&victim, sites, 3), 't');
	assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, 3, 0, 0, 0), 0);
	victim_end(&victim);
}

static bool is_named(const struct victim *victim, pid_t tid)
{
	char path[64], name[32] = "";
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", victim->pid, tid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	bool named = fgets(name, sizeof(name), f) && !strcmp(name, "usplice-net\n");
	fclose(f);
	return named;
}

/* One that has begun to wait, or that has hardly been born. */
static struct threads *held_at(struct victim *victim, bool newborn, pid_t *tid)
{
	for (;;) {
		struct threads *helper = spawn_held(victim, tid);
		if (newborn)
			return helper;
		threads_detach(helper);
		while (thread_exists(victim, *tid) && !is_named(victim, *tid))
			poll(NULL, 0, 1);
		struct usp_error *error = threads_seize_one(victim->target, *tid, &helper);
		if (!error)
			error = threads_stop(helper, UINT64_MAX);
		if (!error && helper->v[0].state == THREAD_STOPPED)
			return helper;
		assert_false(thread_exists(victim, *tid)); /* its time was over */
		usp_error_destroy(error);
	}
}

/* A recovery that finds the helper at work sends it off; it writes nothing any more. */
static void test_dismissed(void **state)
{
	(void)state;
	for (int newborn = 0; newborn < 2; newborn++) {
		struct victim victim;
		pid_t tid;
		victim_start(&victim);
		make_sites(&victim, sites, 10);
		victim_do(&victim, VICTIM_START, 2, 10, 0, 0);
		arm(&victim, 0xcc, sites, 10);
		struct threads *helper = held_at(&victim, newborn, &tid);
		ok(net_publish(victim.target, &victim.net));
		gate_up(&victim, sites, 10);
		commit(&victim);
		struct user_regs_struct registers = helper->v[0].registers;
		assert_true(net_dismiss(&victim.net, &registers));
		assert_int_equal(ptrace(PTRACE_SETREGS, tid, 0, &registers), 0);
		threads_detach(helper);
		gone(&victim, tid);
		assert_int_equal(text_is(&victim, sites, 10), 't');
		registers.rip = victim.shared->functions;
		assert_false(net_dismiss(&victim.net, &registers));
		registers.rip = victim.net.code + NET_ENTRIES; /* a handler is no helper */
		assert_false(net_dismiss(&victim.net, &registers));
		victim_calls_on(&victim, true);
		victim_end(&victim);
	}
}

static void test_seccomp_refused(void **state)
{
	struct victim victim;
	pid_t tid;
	(void)state;
	victim_start(&victim);
	arm(&victim, 0xcc, NULL, 0);
	struct remote *remote = borrow(&victim);
	victim.target->seccomp = true;
	refused(net_spawn(victim.target, remote, &victim.net, victim.area.stack + 8192, &tid),
		USP_UNSUPPORTED, "seccomp");
	victim.target->seccomp = false;
	give_back(remote);
	victim_end(&victim);
}

/* No /proc where the target lives: the helper gives up, the handler serves on. */
static void test_no_proc(void **state)
{
	(void)state;
	for (int switched = 0; switched < 2; switched++) {
		struct victim victim;
		pid_t tid;
		victim_start(&victim);
		/* Without the right to change its root there is no such victim. */
		assert_int_equal(victim_do(&victim, VICTIM_CHROOT, 0, 0, 0, 0), 0);
		struct threads *helper = published_with_helper(&victim, 0xcc, 10, switched, &tid);
		threads_detach(helper);
		gone(&victim, tid);
		assert_int_equal(text_is(&victim, sites, 10), 't');
		victim_calls_on(&victim, switched);
		victim_end(&victim);
	}
}

/* The controller itself is killed, with all that it holds. */
static void killed(bool switched, bool with_helper)
{
	struct victim victim;
	const uint64_t n = 50;
	victim_start(&victim);
	make_sites(&victim, sites, n);
	victim_do(&victim, VICTIM_START, 3, n, 0, 0);
	arm(&victim, 0xcc, sites, n); /* for where it is; again by the one who is killed */
	int says[2];
	pid_t helper = 0;
	assert_int_equal(pipe(says), 0);
	const pid_t controller = fork();
	assert_true(controller >= 0);
	if (controller == 0) {
		arm(&victim, 0xcc, sites, n);
		if (with_helper)
			spawn_held(&victim, &helper);
		ok(net_publish(victim.target, &victim.net));
		gate_up(&victim, sites, n);
		if (switched)
			commit(&victim);
		if (write(says[1], &helper, sizeof(helper)) != sizeof(helper))
			_exit(1);
		for (;;)
			pause();
	}
	close(says[1]);
	assert_int_equal(read(says[0], &helper, sizeof(helper)), sizeof(helper));
	close(says[0]);
	victim_calls_on(&victim, switched);
	assert_int_equal(text_is(&victim, sites, n), 't');
	int status;
	kill(controller, SIGKILL);
	assert_int_equal(waitpid(controller, &status, 0), controller);
	victim_calls_on(&victim, switched);
	if (with_helper)
		gone(&victim, helper);
	const char text = with_helper ? (switched ? 'n' : 'o') : 't';
	assert_int_equal(text_is(&victim, sites, n), text);
	victim_calls_on(&victim, switched);
	/* The next controller sees it all. */
	struct net_data data;
	struct net_site *found;
	size_t n_found;
	ok(net_read(victim.target, &victim.net, &data, &found, &n_found));
	assert_int_equal(n_found, n);
	assert_memory_equal(found, sites, n * sizeof(*sites));
	free(found);
	if (!with_helper) {
		if (switched)
			gate_switch(&victim, sites, n);
		else
			gate_abort(&victim, sites, n);
	}
	ok(net_retire(victim.target, &victim.net));
	victim_calls_on(&victim, switched);
	disarm(&victim);
	victim_calls_on(&victim, switched);
	victim_end(&victim);
}

static void test_killed(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		killed(i & 1, i & 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_undoes),	     cmocka_unit_test(test_finishes),
		cmocka_unit_test(test_undoes_tails), cmocka_unit_test(test_1000_sites),
		cmocka_unit_test(test_half_way),     cmocka_unit_test(test_done),
		cmocka_unit_test(test_dismissed),    cmocka_unit_test(test_seccomp_refused),
		cmocka_unit_test(test_no_proc),	     cmocka_unit_test(test_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
