/* SPDX-License-Identifier: MIT */
/*
 * The three phases on real cores: text of this very process is rewritten while other threads run it, at every
 * offset in a cache line, and across pages. Every function is one instruction that loads a number, and ret;
 * all bytes of the number differ between old and new, so whatever mixture a core should run shows in it.
 *
 * USPLICE_STRESS_ROUNDS: switches of each site; 30 if unset. Overnight: 100000.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/errno.h"
#include "core/poke.h"

#define LINE	64
#define PAGE	4096
#define ACROSS	4 /* sites that lie across a page's end, by 1 to 4 bytes */
#define SITES	(LINE + ACROSS)
#define SIZE	(8 * PAGE)
#define CALLERS 2

typedef uint64_t function(void);

static const uint8_t int3 = 0xcc;
static uint8_t *code, *alias; /* the same memory: to run, to write */

/* One load of a number, by its length: opcode bytes, then the number. */
static const struct shape {
	uint8_t length, n_opcode, opcode[2];
} shapes[] = {{2, 1, {0xb0}}, {5, 1, {0xb8}}, {10, 2, {0x48, 0xb8}}};
static const struct shape *_Atomic shape;

static struct poke poke;
static struct poke_site sites[SITES];
static function *_Atomic called[SITES];
static atomic_size_t n_called;
/* 2 k: settled, and k odd means new. Odd: being switched. */
static atomic_uint epoch;
static _Atomic bool means_new; /* the commit word */
static atomic_bool stop;
static atomic_ulong calls, traps, late, wrong;

/* Of the bytes that the shape loads. */
static uint64_t mask(void)
{
	return UINT64_MAX >> (64 - 8 * (shape->length - shape->n_opcode));
}

static uint64_t number(bool new)
{
	return (new ? 0x2222222222222222 : 0x1111111111111111) & mask();
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	uint64_t address = (uint64_t)g[REG_RIP] - 1;
	(void)signal;
	(void)info;
	const struct poke_site *site = poke_find_trap(&poke, address);
	if (site) {
		atomic_fetch_add(&traps, 1);
		g[REG_RAX] = (greg_t)number(atomic_load(&means_new));
		g[REG_RIP] = (greg_t)(address + site->length);
		return;
	}
	/* Its batch is over; should the next have begun since, what stands there now traps again, and is found. */
	atomic_fetch_add(&late, 1);
	g[REG_RIP] = (greg_t)address;
}

static void *caller(void *unused)
{
	(void)unused;
	for (size_t i = 0; !atomic_load(&stop); i++) {
		const size_t n = atomic_load(&n_called);
		unsigned before = atomic_load(&epoch);
		if (!n)
			continue;
		const uint64_t result = atomic_load(&called[i % n])() & mask();
		unsigned after = atomic_load(&epoch);
		const bool settled = before == after && before % 2 == 0;
		if (settled ? result != number(before / 2 % 2)
			    : result != number(false) && result != number(true))
			atomic_fetch_add(&wrong, 1);
		atomic_fetch_add(&calls, 1);
	}
	return NULL;
}

/* ---- the host ---- */

static uint8_t *writable(uint64_t address)
{
	return alias + (address - (uint64_t)(uintptr_t)code);
}

static int op_read(void *host, uint64_t address, void *bytes, size_t n)
{
	(void)host;
	memcpy(bytes, writable(address), n);
	return 0;
}

/* Byte by byte, the worst that there is. */
static int op_write(void *host, const struct host_write *v, size_t n, size_t *done)
{
	(void)host;
	for (*done = 0; *done < n; ++*done) {
		const struct host_write *at = &v[*done];
		volatile uint8_t *to = writable(at->address);
		if (memcmp(writable(at->address), at->expected, at->n) != 0)
			return -CORE_EBADMSG;
		for (size_t i = 0; i < at->n; i++)
			to[i] = at->bytes[i];
	}
	return 0;
}

static int op_sync(void *host)
{
	(void)host;
	return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) ? -errno : 0;
}

static const struct host_ops ops = {.read = op_read, .write = op_write, .sync = op_sync};

/* ---- */

static void put(uint8_t bytes[32], bool new)
{
	uint64_t value = number(new);
	memcpy(bytes, shape->opcode, shape->n_opcode);
	memcpy(bytes + shape->n_opcode, &value, (size_t)(shape->length - shape->n_opcode));
}

static void make_site(size_t k, size_t offset)
{
	struct poke_site *site = &sites[k];
	*site = (struct poke_site){.address = (uint64_t)(uintptr_t)code + offset, .length = shape->length};
	put(site->old_bytes, false);
	put(site->new_bytes, true);
	memcpy(alias + offset, site->old_bytes, site->length);
	alias[offset + site->length] = 0xc3;
}

/* Sorted: 64 sites, the k-th k bytes into its line; then those across pages. */
static void make_sites(const struct shape *of)
{
	shape = of;
	memset(alias, 0xf4, SIZE);
	for (size_t k = 0; k < LINE; k++)
		make_site(k, k * 2 * LINE + k);
	for (size_t k = 0; k < ACROSS; k++)
		make_site(LINE + k, (3 + k) * PAGE - 1 - k);
	assert_int_equal(op_sync(NULL), 0);
}

static void swap_bytes(struct poke_site *site)
{
	uint8_t bytes[32];
	memcpy(bytes, site->old_bytes, sizeof(bytes));
	memcpy(site->old_bytes, site->new_bytes, sizeof(bytes));
	memcpy(site->new_bytes, bytes, sizeof(bytes));
}

/* The callers have called each of them since. */
static void until_called(void)
{
	unsigned long from = atomic_load(&calls);
	while (atomic_load(&calls) < from + 2 * CALLERS)
		sched_yield();
}

/* The gate is up at every site that is called: whoever calls meets a trap. */
static void until_trapped(void)
{
	unsigned long from = atomic_load(&traps);
	while (atomic_load(&traps) == from)
		sched_yield();
}

enum flip_how {
	STRAIGHT,
	LINGER,	 /* with the traps in place, until one was met */
	GIVE_UP, /* it is thought better of, once the traps are in place */
};

/* All of the batch, old to new or new to old. */
static void flip(size_t first, size_t n, bool to_new, enum flip_how how)
{
	atomic_store(&means_new, !to_new);
	atomic_fetch_add(&epoch, 1);
	assert_int_equal(poke_init(&poke, &ops, NULL, &int3, 1, sites + first, n), 0);
	assert_int_equal(poke_gate(&poke), 0);
	if (how == LINGER)
		until_trapped();
	if (how == GIVE_UP) {
		assert_int_equal(poke_abort(&poke), 0);
		assert_int_equal(poke.syncs, 2);
		poke_retire(&poke);
		atomic_fetch_sub(&epoch, 1);
		return;
	}
	atomic_store(&means_new, to_new);
	assert_int_equal(poke_switch(&poke), 0);
	assert_int_equal(poke.syncs, 3);
	poke_retire(&poke);
	for (size_t k = first; k < first + n; k++)
		swap_bytes(&sites[k]);
	atomic_fetch_add(&epoch, 1);
}

/* Everything is old here, and is again when the next are chosen. */
static void choose(size_t first, size_t n)
{
	for (size_t k = 0; k < n; k++)
		atomic_store(&called[k], (function *)(uintptr_t)sites[first + k].address);
	atomic_store(&n_called, n);
	until_called();
}

static unsigned long rounds(void)
{
	const char *text = getenv("USPLICE_STRESS_ROUNDS");
	return text ? strtoul(text, NULL, 10) : 30;
}

static pthread_t callers[CALLERS];

static void start(const struct shape *of)
{
	make_sites(of);
	atomic_store(&stop, false);
	atomic_store(&epoch, 0);
	atomic_store(&wrong, 0);
	atomic_store(&n_called, 0);
	for (size_t i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&callers[i], NULL, caller, NULL), 0);
}

static void end(void)
{
	atomic_store(&stop, true);
	for (size_t i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_join(callers[i], NULL), 0);
}

static void flip_to_and_fro(size_t first, size_t n, unsigned long times)
{
	choose(first, n);
	for (unsigned long i = 0; i < times; i++) {
		const bool give_up = i % 4 == 3;
		flip(first, n, true, give_up ? GIVE_UP : i % 8 == 0 ? LINGER : STRAIGHT);
		if (!give_up)
			flip(first, n, false, STRAIGHT);
		if (i % 8 == 0)
			until_called();
	}
	until_called();
	assert_int_equal(atomic_load(&wrong), 0);
}

static void one_by_one(const struct shape *of)
{
	start(of);
	for (size_t k = 0; k < SITES; k++)
		flip_to_and_fro(k, 1, rounds());
	end();
}

static void test_each_offset(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		one_by_one(&shapes[i]);
	printf("# %lu rounds of each of %d sites, 3 lengths: %lu calls, %lu traps met, %lu of them late\n",
	       rounds(), SITES, atomic_load(&calls), atomic_load(&traps), atomic_load(&late));
}

static void test_all_at_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		start(&shapes[i]);
		flip_to_and_fro(0, SITES, rounds());
		end();
	}
}

static void write_tail(const struct poke_site *site, const uint8_t *from, const uint8_t *to)
{
	const struct host_write write = {site->address + 3, from + 3, to + 3, 2};
	size_t done;
	assert_int_equal(op_write(NULL, &write, 1, &done), 0);
}

/* The test of the test: a tail under an instruction that does not trap is seen. */
static void test_tail_without_trap(void **state)
{
	(void)state;
	start(&shapes[1]);
	choose(0, SITES);
	while (!atomic_load(&wrong)) {
		for (size_t k = 0; k < SITES; k++)
			write_tail(&sites[k], sites[k].old_bytes, sites[k].new_bytes);
		until_called();
		for (size_t k = 0; k < SITES; k++)
			write_tail(&sites[k], sites[k].new_bytes, sites[k].old_bytes);
	}
	end();
}

static int prepare(void **state)
{
	(void)state;
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	int fd = memfd_create("code", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, SIZE) < 0 || sigaction(SIGTRAP, &action, NULL) < 0)
		return -1;
	code = mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	alias = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return code == MAP_FAILED || alias == MAP_FAILED ||
	       syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_offset),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_tail_without_trap),
	};
	return cmocka_run_group_tests(tests, prepare, NULL);
}
