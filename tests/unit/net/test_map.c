/* SPDX-License-Identifier: MIT */
/* What is mapped and what is found again; the code itself; every refusal; a header that lies. */
#define _GNU_SOURCE
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct net_site sites[FUNCTIONS];

static int mappings(const struct victim *victim)
{
	struct maps maps;
	int n = 0;
	ok(maps_read(victim->target, &maps));
	for (size_t i = 0; i < maps.n; i++)
		n += strstr(maps.v[i].name, "usplice-net") != NULL;
	maps_deinit(&maps);
	return n;
}

static bool descriptor_left(const struct victim *victim)
{
	char path[64], link[256];
	for (int fd = 0; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", victim->pid, fd);
		ssize_t n = readlink(path, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		if (strstr(link, "usplice-net"))
			return true;
	}
	return false;
}

static struct usp_error *map_net(struct victim *victim, struct net_area *area, size_t n)
{
	struct remote *remote = borrow(victim);
	struct usp_error *error = net_map(victim->target, remote, victim->area.stack, area, n);
	give_back(remote);
	return error;
}

/* Copied to another address it must be as it is. */
static void test_code(void **state)
{
	(void)state;
	assert_memory_equal(net_code, "uspnet01", 8);
	for (unsigned k = 0; k < NET_PROGRAMS_MAX; k++) /* each entry begins with endbr64 */
		assert_memory_equal(net_code + NET_ENTRIES + k * NET_ENTRIES, "\xf3\x0f\x1e\xfa", 4);
	assert_memory_equal(net_code + net_code_restorer, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
	/* Nothing in it is an address of this process: no word is within this program's or its libraries'
	 * mappings. */
	for (size_t i = 0; i + 8 <= NET_CODE_SIZE; i++) {
		uint64_t word;
		memcpy(&word, net_code + i, sizeof(word));
		assert_false(word - ((uintptr_t)net_code & ~0xfffffull) < 0x200000);
	}
}

static void test_found_again(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim);
	struct net_area first = {0}, second = {0};
	ok(map_net(&victim, &first, 10));
	assert_int_equal(mappings(&victim), 3);
	assert_false(descriptor_left(&victim));
	assert_int_equal(first.data, first.code + NET_DATA_OFFSET);
	ok(map_net(&victim, &second, 10));
	assert_memory_equal(&first, &second, sizeof(first));
	ok(map_net(&victim, &second, 200));
	assert_int_equal(mappings(&victim), 3);
	second.data_size += 4096;
	refused(map_net(&victim, &second, 10), USP_MISMATCH, "not what is mapped");
	second = (struct net_area){victim.shared->functions, victim.shared->pads, 1 << 20};
	refused(map_net(&victim, &second, 10), USP_MISMATCH, "not what is mapped");
	refused(map_net(&victim, &first, (1u << 17) + 1), USP_UNSUPPORTED, "most");
	victim_end(&victim);
}

static void test_grows(void **state)
{
	struct victim victim;
	struct net_data data;
	struct net_site *found;
	size_t n;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, FUNCTIONS);
	arm(&victim, 0xcc, sites, 10);
	ok(net_publish(victim.target, &victim.net));
	refused(map_net(&victim, &victim.net, FUNCTIONS), USP_WRONG_STATE, "recover first");
	ok(net_retire(victim.target, &victim.net));
	arm(&victim, 0xcc, sites, FUNCTIONS);
	assert_int_equal(mappings(&victim), 4);
	ok(net_publish(victim.target, &victim.net));
	gate_up(&victim, sites, FUNCTIONS);
	assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, FUNCTIONS, 0, 0, 0), 0);
	ok(net_read(victim.target, &victim.net, &data, &found, &n));
	assert_int_equal(n, FUNCTIONS);
	free(found);
	gate_abort(&victim, sites, FUNCTIONS);
	ok(net_retire(victim.target, &victim.net));
	/* A controller that knows nothing finds that one, too; as large as it is it stays. */
	victim.net = (struct net_area){0};
	arm(&victim, 0xcc, sites, FUNCTIONS);
	assert_int_equal(mappings(&victim), 4);
	disarm(&victim);
	victim_end(&victim);
}

/* Killed at any of its system calls that map, a controller leaves nothing behind that the next does not use
 * or take away. */
static void test_killed_while_mapping(void **state)
{
	bool finished = false;
	(void)state;
	for (int at = 1; !finished; at++) {
		struct victim victim;
		int status;
		victim_start(&victim);
		give_back(borrow(&victim)); /* remote's own area is not at stake */
		const pid_t controller = fork();
		assert_true(controller >= 0);
		if (controller == 0) {
			ptrace(PTRACE_TRACEME, 0, 0, 0);
			raise(SIGSTOP);
			ok(map_net(&victim, &victim.net, 10));
			_exit(0);
		}
		assert_int_equal(waitpid(controller, &status, 0), controller);
		for (int i = 0; i < at * 7; i++) {
			assert_int_equal(ptrace(PTRACE_SYSCALL, controller, 0, 0), 0);
			assert_int_equal(waitpid(controller, &status, 0), controller);
			if (!WIFSTOPPED(status))
				break;
		}
		finished = !WIFSTOPPED(status);
		if (!finished) {
			kill(controller, SIGKILL);
			assert_int_equal(waitpid(controller, &status, 0), controller);
		}
		/* The thread has come home from the system call that it was in; else a memfd_create() might
		 * still be to come. */
		victim_do(&victim, VICTIM_CALL, 0, 0, 0, 0);
		arm(&victim, 0xcc, NULL, 0);
		assert_int_equal(mappings(&victim), 3);
		assert_false(descriptor_left(&victim));
		disarm(&victim);
		assert_int_equal(victim_do(&victim, VICTIM_CALL, 0, 0, 0, 0), OLD_PLUS + 1);
		victim_end(&victim);
	}
}

static void test_file_size_limit(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim);
	give_back(borrow(&victim));
	const struct rlimit limit = {100000, RLIM_INFINITY};
	struct net_area area = {0};
	assert_int_equal(prlimit(victim.pid, RLIMIT_FSIZE, &limit, NULL), 0);
	refused(map_net(&victim, &area, 10), USP_UNSUPPORTED, "RLIMIT_FSIZE");
	assert_int_equal(mappings(&victim), 0);
	assert_false(descriptor_left(&victim));
	victim_end(&victim);
}

/* Another usplice's code is left where it is, and goes on; not while its sites trap. */
static void test_other_version(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, 5);
	victim_do(&victim, VICTIM_HANDLER, SIGTRAP, 2, SA_SIGINFO, 0);
	arm(&victim, 0xcc, sites, 5);
	const uint8_t other = 1;
	const struct net_area before = victim.net;
	assert_int_equal(remote_write(victim.target, before.code + 20, &other, 1), 0);
	ok(net_publish(victim.target, &victim.net));
	refused(map_net(&victim, &victim.net, 5), USP_WRONG_STATE, "another version");
	ok(net_retire(victim.target, &victim.net));
	arm(&victim, 0xcc, sites, 5);
	assert_int_not_equal(victim.net.code, before.code);
	victim_do(&victim, VICTIM_TRAP, TRAP_INT3, SIGTRAP, 0, 0); /* ours, the other's, the program's */
	assert_int_equal(victim.shared->seen.count, 1);
	ok(net_publish(victim.target, &victim.net));
	gate_up(&victim, sites, 5);
	assert_int_equal(victim_do(&victim, VICTIM_CALL_ALL, 5, 0, 0, 0), 0);
	gate_abort(&victim, sites, 5);
	ok(net_retire(victim.target, &victim.net));
	disarm(&victim);
	victim_do(&victim, VICTIM_TRAP, TRAP_INT3, SIGTRAP, 0, 0);
	assert_int_equal(victim.shared->seen.count, 2);
	victim_end(&victim);
}

static void refuse_arm(struct victim *victim, int signal, uint8_t trap, unsigned adjust, uint64_t word,
		       size_t n, enum usp_code code, const char *text)
{
	struct remote *remote = borrow(victim);
	refused(net_arm(victim->target, remote, &victim->net, signal, trap, adjust, word, 100, sites, n),
		code, text);
	give_back(remote);
}

static void test_arm_refuses(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim);
	const uint64_t word = victim.shared->word;
	make_sites(&victim, sites, 10);
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, 3, USP_USAGE, "no safety net");
	ok(map_net(&victim, &victim.net, 3));
	refuse_arm(&victim, SIGTRAP, 0xf4, 0, word, 3, USP_USAGE, "no trap");
	refuse_arm(&victim, SIGTRAP, 0xcc, 0, word, 3, USP_USAGE, "no trap");
	refuse_arm(&victim, SIGSEGV, 0x90, 0, word, 3, USP_USAGE, "no trap");
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word + 4, 3, USP_USAGE, "malformed");
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, 0, USP_USAGE, "malformed");
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, FUNCTIONS / 2, USP_USAGE, "");
	sites[1].length = 0;
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, 3, USP_USAGE, "malformed");
	sites[1].length = 32;
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, 3, USP_USAGE, "malformed");
	sites[1].length = 5;
	sites[1].address = sites[2].address - 4;
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, 3, USP_USAGE, "malformed");
	sites[1].address = sites[2].address + 1;
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, 3, USP_USAGE, "malformed");
	make_sites(&victim, sites, FUNCTIONS);
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, FUNCTIONS, USP_USAGE, "was mapped for");
	assert_int_equal(action_of(&victim, SIGTRAP).handler, 0);
	refused(net_publish(victim.target, &victim.net), USP_WRONG_STATE, "not armed");
	arm(&victim, 0xcc, sites, 3);
	ok(net_publish(victim.target, &victim.net));
	refuse_arm(&victim, SIGTRAP, 0xcc, 1, word, 3, USP_WRONG_STATE, "recover first");
	struct remote *remote = borrow(&victim);
	refused(net_disarm(victim.target, remote, &victim.net), USP_WRONG_STATE, "recover first");
	give_back(remote);
	/* The same for another signal after all is retired: the first one's handler goes. */
	ok(net_retire(victim.target, &victim.net));
	arm(&victim, 0xce, sites, 3);
	assert_int_equal(action_of(&victim, SIGTRAP).handler, 0);
	assert_int_not_equal(action_of(&victim, SIGILL).handler, 0);
	disarm(&victim);
	assert_int_equal(action_of(&victim, SIGILL).handler, 0);
	victim_end(&victim);
}

/* Whatever the target writes into it. */
static void test_hostile(void **state)
{
	struct victim victim;
	struct net_data data, good;
	struct net_site *found;
	size_t n;
	(void)state;
	victim_start(&victim);
	make_sites(&victim, sites, 10);
	arm(&victim, 0xcc, sites, 10);
	ok(net_publish(victim.target, &victim.net));
	ok(net_read(victim.target, &victim.net, &good, &found, &n));
	assert_int_equal(n, 10);
	free(found);
	static const struct {
		size_t offset;
		uint64_t value;
	} lies[] = {
		{offsetof(struct net_data, magic), 1},
		{offsetof(struct net_data, n_sites), 11},
		{offsetof(struct net_data, n_sites), ~0ull},
		{offsetof(struct net_data, n_late), 9},
		{offsetof(struct net_data, n_late), ~0ull},
		{offsetof(struct net_data, sites_capacity), ~0ull},
		{offsetof(struct net_data, sites_capacity), 9},
		{offsetof(struct net_data, sites), ~0ull - 100},
		{offsetof(struct net_data, sites), 0},
		{offsetof(struct net_data, word_address), 1},
		{offsetof(struct net_data, trap_byte), 0x90},
		{offsetof(struct net_data, trap_byte), 0x1cc},
		{offsetof(struct net_data, trap_adjust), 0},
		{offsetof(struct net_data, trap_number), 1},
		{offsetof(struct net_data, signal), 9},
		{offsetof(struct net_data, entry), NET_PROGRAMS_MAX + 1},
		{offsetof(struct net_data, entry), 5},
		{offsetof(struct net_data, n_programs), NET_PROGRAMS_MAX + 1},
		{offsetof(struct net_data, n_masks), NET_MASKS_MAX + 1},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		assert_int_equal(
			remote_write(victim.target, victim.net.data + lies[i].offset, &lies[i].value, 8), 0);
		struct usp_error *error = net_read(victim.target, &victim.net, &data, &found, &n);
		if (!error)
			fail_msg("lie %zu was believed", i);
		assert_int_equal(error->code, USP_FAILED);
		usp_error_destroy(error);
		assert_null(found);
		assert_int_equal(remote_write(victim.target, victim.net.data, &good, sizeof(good)), 0);
	}
	/* A site that is malformed; a table that is somewhere else. */
	const uint64_t zero = 0;
	assert_int_equal(remote_write(victim.target, good.sites + 3 * sizeof(*sites) + 24, &zero, 1), 0);
	refused(net_read(victim.target, &victim.net, &data, &found, &n), USP_FAILED, "its sites");
	assert_int_equal(remote_write(victim.target, victim.net.data + 80, &victim.shared->pads, 8), 0);
	refused(map_net(&victim, &victim.net, 10), USP_FAILED, "where its table is");
	victim_end(&victim);
}

static void test_masks(void **state)
{
	struct victim victim;
	static struct net_mask masks[NET_MASKS_MAX + 1];
	struct net_mask *found;
	size_t n;
	(void)state;
	victim_start(&victim);
	ok(map_net(&victim, &victim.net, 1));
	for (size_t i = 0; i < NET_MASKS_MAX; i++)
		masks[i] = (struct net_mask){i + 1, ~i};
	ok(net_read_masks(victim.target, &victim.net, &found, &n));
	assert_int_equal(n, 0);
	ok(net_note_masks(victim.target, &victim.net, masks, NET_MASKS_MAX));
	ok(net_read_masks(victim.target, &victim.net, &found, &n));
	assert_int_equal(n, NET_MASKS_MAX);
	assert_memory_equal(found, masks, n * sizeof(*masks));
	free(found);
	refused(net_note_masks(victim.target, &victim.net, masks, NET_MASKS_MAX + 1), USP_UNSUPPORTED,
		"most");
	ok(net_note_masks(victim.target, &victim.net, NULL, 0));
	ok(net_read_masks(victim.target, &victim.net, &found, &n));
	assert_int_equal(n, 0);
	victim_end(&victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_found_again),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_killed_while_mapping),
		cmocka_unit_test(test_file_size_limit),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_arm_refuses),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_masks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
