/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fixture.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/membarrier.h"

void ok(struct usp_error *error)
{
	if (error)
		fail_msg("error %d: %s", (int)error->code, error->message);
}

void refused(struct usp_error *error, enum usp_code code, const char *text)
{
	assert_non_null(error);
	if (error->code != code || !strstr(error->message, text))
		fail_msg("not the error expected (%d, \"%s\"): %d: %s", (int)code, text, (int)error->code,
			 error->message);
	usp_error_destroy(error);
}

void victim_start(struct victim *victim)
{
	*victim = (struct victim){0};
	const char *path = getenv("NET_VICTIM");
	assert_non_null(path);
	int fd = memfd_create("shared", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 4096), 0);
	victim->shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(victim->shared, MAP_FAILED);
	victim->pid = fork();
	assert_true(victim->pid >= 0);
	if (victim->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, SHARED_FD);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* many are to die */
		execl(path, path, NULL);
		_exit(127);
	}
	close(fd);
	while (!atomic_load(&victim->shared->ready)) {
		assert_int_equal(waitpid(victim->pid, NULL, WNOHANG), 0);
		poll(NULL, 0, 1);
	}
	ok(target_open(victim->pid, &victim->target));
}

static void forget(struct victim *victim)
{
	target_close(victim->target);
	munmap(victim->shared, sizeof(struct shared));
}

void victim_end(struct victim *victim)
{
	int status;
	assert_int_equal(atomic_load(&victim->shared->wrong), 0);
	kill(victim->pid, SIGKILL);
	assert_int_equal(waitpid(victim->pid, &status, 0), victim->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	forget(victim);
}

static bool ask(struct victim *victim, enum victim_command command, const uint64_t argument[4], int *status)
{
	struct shared *shared = victim->shared;
	shared->command = command;
	memcpy(shared->argument, argument, sizeof(shared->argument));
	uint32_t number = atomic_fetch_add(&shared->asked, 1) + 1;
	syscall(SYS_futex, &shared->asked, FUTEX_WAKE, 1, NULL, NULL, 0);
	while (atomic_load(&shared->answered) != number) {
		if (waitpid(victim->pid, status, WNOHANG) == victim->pid)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

uint64_t victim_do(struct victim *victim, enum victim_command command, uint64_t a, uint64_t b, uint64_t c,
		   uint64_t d)
{
	int status;
	if (!ask(victim, command, (const uint64_t[4]){a, b, c, d}, &status))
		fail_msg("the victim died at command %d: status 0x%x", (int)command, (unsigned)status);
	return victim->shared->result;
}

int victim_dies(struct victim *victim, enum victim_command command, uint64_t a, uint64_t b)
{
	int status;
	if (ask(victim, command, (const uint64_t[4]){a, b}, &status))
		fail_msg("the victim has survived command %d", (int)command);
	forget(victim);
	return status;
}

void rounds(struct victim *victim)
{
	int status;
	struct shared *shared = victim->shared;
	for (int i = 0; i < 16 && atomic_load(&shared->tids[i]); i++)
		for (uint64_t from = atomic_load(&shared->rounds[i]);
		     atomic_load(&shared->rounds[i]) < from + 2;) {
			if (waitpid(victim->pid, &status, WNOHANG) > 0) /* -1: in a child of ours */
				fail_msg("the victim has died: status 0x%x", (unsigned)status);
			poll(NULL, 0, 1);
		}
}

void victim_calls_on(struct victim *victim, bool new)
{
	_Atomic uint64_t *yes = new ? &victim->shared->new : &victim->shared->old;
	_Atomic uint64_t *no = new ? &victim->shared->old : &victim->shared->new;
	rounds(victim);
	const uint64_t yes_before = atomic_load(yes), no_before = atomic_load(no);
	rounds(victim);
	assert_true(atomic_load(yes) > yes_before);
	assert_int_equal(atomic_load(no), no_before);
	assert_int_equal(atomic_load(&victim->shared->wrong), 0);
}

struct remote *borrow(struct victim *victim)
{
	struct remote *remote;
	struct maps maps;
	ok(maps_read(victim->target, &maps));
	ok(remote_open(victim->target, &maps, NULL, &victim->area, NULL, NULL, &remote));
	maps_deinit(&maps);
	return remote;
}

void give_back(struct remote *remote)
{
	ok(remote_close(remote));
}

struct net_action action_of(struct victim *victim, int signal)
{
	struct net_action action;
	int64_t result;
	struct remote *remote = borrow(victim);
	ok(remote_syscall(remote, SYS_rt_sigaction,
			  (const uint64_t[6]){(uint64_t)signal, 0, victim->area.stack, 8}, &result));
	assert_int_equal(result, 0);
	assert_int_equal(target_read(victim->target, victim->area.stack, &action, sizeof(action)), 0);
	give_back(remote);
	return action;
}

void make_sites(const struct victim *victim, struct net_site *sites, size_t n)
{
	memset(sites, 0, n * sizeof(*sites));
	for (size_t k = 0; k < n; k++) {
		struct net_site *s = &sites[k];
		s->address = victim->shared->functions + k * FUNCTION_SIZE;
		s->old_to = victim->shared->pads + k * FUNCTION_SIZE;
		s->new_to = victim->shared->news + k * FUNCTION_SIZE;
		s->length = 5;
		assert_int_equal(target_read(victim->target, s->address, s->old_bytes, 5), 0);
		int32_t distance = (int32_t)(s->new_to - s->address - 5);
		s->new_bytes[0] = 0xe9;
		memcpy(s->new_bytes + 1, &distance, 4);
	}
}

void arm(struct victim *victim, uint8_t trap, const struct net_site *sites, size_t n)
{
	const struct net_trap *t = net_trap(trap);
	const uint64_t old_word = 100;
	const struct net_site nowhere = {.address = victim->shared->functions + FUNCTIONS * FUNCTION_SIZE + 8,
					 .length = 1};
	struct remote *remote = borrow(victim);
	victim->trap = trap;
	assert_non_null(t);
	ok(membarrier_register(remote));
	ok(net_map(victim->target, remote, victim->area.stack, &victim->net, n));
	ok(net_arm(victim->target, remote, &victim->net, t->signal, trap, t->adjust, victim->shared->word,
		   old_word, n ? sites : &nowhere, n ? n : 1));
	give_back(remote);
}

void disarm(struct victim *victim)
{
	struct remote *remote = borrow(victim);
	ok(net_disarm(victim->target, remote, &victim->net));
	give_back(remote);
}

void write_text(struct victim *victim, uint64_t address, const void *from, const void *to, size_t n)
{
	const struct host_write write = {address, from, to, n};
	size_t done;
	int r = text_write(victim->target, &write, 1, &done);
	if (r < 0)
		fail_msg("writing text at 0x%lx: %s", (long)address, strerror(-r));
}

void gate_up(struct victim *victim, const struct net_site *sites, size_t n)
{
	for (size_t k = 0; k < n; k++)
		write_text(victim, sites[k].address, sites[k].old_bytes, &victim->trap, 1);
}

void gate_abort(struct victim *victim, const struct net_site *sites, size_t n)
{
	for (size_t k = 0; k < n; k++)
		write_text(victim, sites[k].address, &victim->trap, sites[k].old_bytes, 1);
}

static void sync_cores(struct victim *victim)
{
	struct remote *remote = borrow(victim);
	ok(membarrier_sync(remote));
	give_back(remote);
}

void gate_switch(struct victim *victim, const struct net_site *sites, size_t n)
{
	sync_cores(victim);
	for (size_t k = 0; k < n; k++)
		write_text(victim, sites[k].address + 1, sites[k].old_bytes + 1, sites[k].new_bytes + 1,
			   sites[k].length - 1u);
	sync_cores(victim);
	for (size_t k = 0; k < n; k++)
		write_text(victim, sites[k].address, &victim->trap, sites[k].new_bytes, 1);
	sync_cores(victim);
}

void commit(struct victim *victim)
{
	const uint64_t word = 101;
	rounds(victim); /* drained: nobody is in the middle of a site any more */
	assert_int_equal(remote_write(victim->target, victim->shared->word, &word, sizeof(word)), 0);
}

char text_is(struct victim *victim, const struct net_site *sites, size_t n)
{
	char all = '\0';
	for (size_t k = 0; k < n; k++) {
		uint8_t now[32];
		const struct net_site *s = &sites[k];
		assert_int_equal(target_read(victim->target, s->address, now, s->length), 0);
		char c = !memcmp(now, s->old_bytes, s->length)						? 'o'
			 : !memcmp(now, s->new_bytes, s->length)					? 'n'
			 : now[0] == victim->trap && !memcmp(now + 1, s->old_bytes + 1, s->length - 1u) ? 't'
													: 'm';
		if (all && c != all)
			return 'm';
		all = c;
	}
	return all;
}

bool thread_exists(const struct victim *victim, pid_t tid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%d", victim->pid, tid);
	return access(path, F_OK) == 0;
}

struct threads *spawn_held(struct victim *victim, pid_t *tid)
{
	for (;;) {
		struct threads *one;
		struct remote *remote = borrow(victim);
		int64_t stack;
		ok(remote_syscall(remote, SYS_mmap,
				  (const uint64_t[6]){0, 4096, PROT_READ | PROT_WRITE,
						      MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0},
				  &stack));
		assert_true(stack > 0);
		ok(net_spawn(victim->target, remote, &victim->net, (uint64_t)stack + 4096, tid));
		give_back(remote);
		struct usp_error *error = *tid ? threads_seize_one(victim->target, *tid, &one) : NULL;
		if (*tid && !error)
			error = threads_stop(one, UINT64_MAX);
		if (*tid && !error && one->n == 1 && one->v[0].state == THREAD_STOPPED)
			return one;
		/* A machine so busy that the helper has ended by itself meanwhile. */
		usp_error_destroy(error);
		assert_false(*tid && thread_exists(victim, *tid));
	}
}
