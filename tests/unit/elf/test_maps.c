// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static void parse(const char *text, struct maps *maps)
{
	assert_int_equal(maps_parse(text, strlen(text), maps), 0);
}

static void test_fields(void **state)
{
	struct maps maps;
	(void)state;
	parse("00400000-00452000 r-xp 00001000 fe:1b 173521                             /usr/bin/x y\n"
	      "00452000-00453000 rw-s 00000000 00:00 0 \n"
	      "00453000-00454000 ---p 00000000 00:00 0\n"
	      "7f0000000000-7f0000001000 -w-p 00000000 00:05 9                          /tmp/a\\012b\\01c "
	      "(deleted)\n"
	      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n",
	      &maps);
	assert_int_equal(maps.n, 5);
	assert_int_equal(maps.v[0].start, 0x400000);
	assert_int_equal(maps.v[0].end, 0x452000);
	assert_int_equal(maps.v[0].offset, 0x1000);
	assert_int_equal(maps.v[0].prot, PROT_READ | PROT_EXEC);
	assert_int_equal(maps.v[0].device, makedev(0xfe, 0x1b));
	assert_int_equal(maps.v[0].inode, 173521);
	assert_string_equal(maps.v[0].name, "/usr/bin/x y");
	assert_true(maps.v[1].shared && !maps.v[0].shared);
	assert_string_equal(maps.v[1].name, "");
	assert_string_equal(maps.v[2].name, "");
	assert_int_equal(maps.v[2].prot, 0);
	assert_string_equal(maps.v[3].name, "/tmp/a\nb\\01c (deleted)");
	assert_string_equal(maps.v[4].name, "[vsyscall]");
	assert_ptr_equal(maps_find(&maps, 0x451fff), &maps.v[0]);
	assert_ptr_equal(maps_find(&maps, 0x452000), &maps.v[1]);
	assert_null(maps_find(&maps, 0x454000));
	assert_null(maps_find(&maps, 0x3fffff));
	assert_null(maps_find(&maps, UINT64_MAX));
	maps_deinit(&maps);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"x",
		"\n",
		"00400000-00452000 r-xp 00001000 fe:1b 1", /* no newline */
		"00400000-00400000 r-xp 0 0:0 0 \n",	   /* empty */
		"00452000-00400000 r-xp 0 0:0 0 \n",
		"00400001-00452000 r-xp 0 0:0 0 \n",
		"00400000-00452001 r-xp 0 0:0 0 \n",
		"-00452000 r-xp 0 0:0 0 \n",
		"10000000000000000-10000000000001000 r-xp 0 0:0 0 \n", /* over 64 bits */
		"00400000-00452000 rwx 0 0:0 0 \n",
		"00400000-00452000 r-xq 0 0:0 0 \n",
		"00400000-00452000 wr-p 0 0:0 0 \n",
		"00400000-00452000 r-xp g 0:0 0 \n",
		"00400000-00452000 r-xp 0 00 0 \n",
		"00400000-00452000 r-xp 0 0:0 f \n",
		"00400000-00452000 r-xp 0 0:0 99999999999999999999999 \n",
		"00400000-00452000 r-xp 0 100000000:0 0 \n",
		"+400000-00452000 r-xp 0 0:0 0 \n",
		"00400000-00452000  r-xp 0 0:0 0 \n",
		"2000-3000 r--p 0 0:0 0 \n1000-2000 r--p 0 0:0 0 \n", /* out of order */
		"1000-3000 r--p 0 0:0 0 \n2000-4000 r--p 0 0:0 0 \n", /* overlap */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct maps maps;
		if (maps_parse(bad[i], strlen(bad[i]), &maps) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_null(maps.v);
	}
	struct maps maps;
	assert_int_equal(maps_parse("1000-2000 r--p 0 0:0 0 a\0b\n", 27, &maps), -EBADMSG);
	assert_int_equal(maps_parse("", 0, &maps), 0);
	assert_int_equal(maps.n, 0);
	maps_deinit(&maps);
}

static void check_gap(const struct maps *maps, uint64_t gap, uint64_t start, uint64_t end, uint64_t size,
		      uint64_t reach)
{
	assert_int_equal(gap % 4096, 0);
	assert_true(gap >= 65536 && gap + size <= 0x7fffffffe000);
	for (size_t i = 0; i < maps->n; i++)
		assert_true(maps->v[i].end + 4096 <= gap || maps->v[i].start >= gap + size + 4096);
	assert_true(end - 1 <= gap || end - 1 - gap <= reach);
	assert_true(gap + size - 1 <= start || gap + size - 1 - start <= reach);
}

static void test_gap(void **state)
{
	struct maps maps;
	(void)state;
	parse("00400000-00500000 r-xp 00000000 fe:00 1 /x\n00510000-00520000 rw-p 00000000 00:00 0 [heap]\n"
	      "00600000-80500000 r--p 0 0:0 0 \n7effffff0000-7f0000000000 rw-p 0 0:0 0 "
	      "\n7f0000000000-7f0000100000 r-xp 00000000 fe:00 2 /l\n"
	      "7f0000108000-7f0000109000 r-xp 00000000 fe:00 2 /l\n7ffffff00000-7ffffff20000 rw-p 0 0:0 0 "
	      "[stack]\n",
	      &maps);
	/* As near below as above; a page free. */
	uint64_t gap = maps_find_gap(&maps, 0x400000, 0x500000, 0x4000, INT32_MAX);
	assert_int_equal(gap, 0x400000 - 0x1000 - 0x4000);
	check_gap(&maps, gap, 0x400000, 0x500000, 0x4000, INT32_MAX);
	/* Too large for the hole above (the heap keeps its room): below. */
	gap = maps_find_gap(&maps, 0x400000, 0x500000, 0x20000, INT32_MAX);
	assert_int_equal(gap, 0x400000 - 0x1000 - 0x20000);
	/* Exactly the hole, then a page more. */
	assert_int_equal(maps_find_gap(&maps, 0x7f0000000000, 0x7f0000100000, 0x6000, INT32_MAX),
			 0x7f0000101000);
	assert_int_equal(maps_find_gap(&maps, 0x7f0000000000, 0x7f0000100000, 0x7000, INT32_MAX),
			 0x7f000010a000);
	/* Nothing below mmap_min_addr, nothing out of reach. */
	assert_int_equal(maps_find_gap(&maps, 0x400000, 0x500000, 0x3f0000, 0x7000000), 0);
	assert_int_equal(maps_find_gap(&maps, 0x400000, 0x500000, 0x20000, 0x11f000), 0);
	/* The stack's room. */
	gap = maps_find_gap(&maps, 0x7ffffff00000, 0x7ffffff20000, 0x1000, INT32_MAX);
	assert_int_equal(gap, 0x7ffffff21000);
	gap = maps_find_gap(&maps, 0x7ffffff00000, 0x7ffffff20000, 0x100000, INT32_MAX);
	assert_int_equal(gap, 0x7ffffff00000 - (128 << 20) - 0x100000);
	/* Nonsense. */
	assert_int_equal(maps_find_gap(&maps, 0x500000, 0x400000, 0x1000, INT32_MAX), 0);
	assert_int_equal(maps_find_gap(&maps, 0x400000, 0x500000, 0, INT32_MAX), 0);
	assert_int_equal(maps_find_gap(&maps, 0x400000, 0x500000, 0x1001, INT32_MAX), 0);
	assert_int_equal(maps_find_gap(&maps, 0x400000, 0x500000, UINT64_MAX & ~4095ull, UINT64_MAX), 0);
	assert_int_equal(maps_find_gap(&maps, 0x400000, 0x500000, 0x1000, 0x1000), 0);
	maps_deinit(&maps);
}

/* Random layouts: what is found is a gap, and when nothing is found there is none by a plain search. */
static void test_gap_random(void **state)
{
	unsigned seed = 1;
	(void)state;
	for (int round = 0; round < 3000; round++) {
		char text[4096];
		size_t n = 0;
		uint64_t at = 0x10000 + (uint64_t)(rand_r(&seed) % 64) * 4096, first = 0, first_end = 0;
		for (int i = 0; i < 12; i++) {
			at += (uint64_t)(rand_r(&seed) % 12) * 4096;
			uint64_t end = at + (uint64_t)(1 + rand_r(&seed) % 8) * 4096;
			if (i == 6) {
				first = at;
				first_end = end;
			}
			n += (size_t)sprintf(text + n, "%lx-%lx rw-p 0 0:0 0 \n", at, end);
			at = end;
		}
		struct maps maps;
		parse(text, &maps);
		uint64_t size = (uint64_t)(1 + rand_r(&seed) % 9) * 4096;
		uint64_t reach = (uint64_t)(rand_r(&seed) % 70) * 4096 + (unsigned)rand_r(&seed) % 4096;
		uint64_t gap = maps_find_gap(&maps, first, first_end, size, reach), best = 0,
			 nearest = UINT64_MAX;
		for (uint64_t a = 0x10000; a < at + 0x100000; a += 4096) {
			bool fits = first_end - 1 <= a || first_end - 1 - a <= reach;
			fits = fits && (a + size - 1 <= first || a + size - 1 - first <= reach);
			for (size_t i = 0; i < maps.n && fits; i++)
				fits = maps.v[i].end + 4096 <= a || maps.v[i].start >= a + size + 4096;
			uint64_t distance = a < first ? first - a - size : a - first_end;
			if (fits && distance < nearest) {
				nearest = distance;
				best = a;
			}
		}
		if (!best != !gap)
			fail_msg("round %d: found 0x%lx, there is 0x%lx\n%s", round, gap, best, text);
		if (gap) {
			check_gap(&maps, gap, first, first_end, size, reach);
			assert_int_equal(gap < first ? first - gap - size : gap - first_end, nearest);
		}
		maps_deinit(&maps);
	}
}

static void test_own(void **state)
{
	struct target target = {.pid = getpid(), .procfd = open("/proc/self", O_PATH | O_CLOEXEC)};
	struct maps maps;
	struct stat st;
	(void)state;
	int fd = open("/tmp/usplice maps\ntest", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 8192), 0);
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
	assert_int_equal(fstat(fd, &st), 0);
	unlink("/tmp/usplice maps\ntest");
	close(fd);
	ok(maps_read(&target, &maps));
	const struct mapping *m = maps_find(&maps, (uint64_t)p);
	assert_string_equal(m->name, "/tmp/usplice maps\ntest (deleted)");
	assert_int_equal(m->offset, 4096);
	assert_int_equal(m->inode, st.st_ino);
	assert_int_equal(m->device, st.st_dev);
	assert_true(maps_find(&maps, (uint64_t)test_own)->prot & PROT_EXEC);
	uint64_t at = (uint64_t)test_own & ~4095ull;
	uint64_t gap = maps_find_gap(&maps, at, at + 4096, 0x10000, INT32_MAX);
	assert_ptr_equal(mmap((void *)gap, 0x10000, PROT_READ,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
			 gap);
	maps_deinit(&maps);
	close(target.procfd);
}

static void test_gone(void **state)
{
	char name[64];
	struct maps maps;
	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	snprintf(name, sizeof(name), "/proc/%d", (int)pid);
	struct target target = {.pid = pid, .procfd = open(name, O_PATH | O_CLOEXEC)};
	fails(maps_read(&target, &maps), USP_GONE); /* a zombie */
	waitpid(pid, NULL, 0);
	fails(maps_read(&target, &maps), USP_GONE);
	close(target.procfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_gap),    cmocka_unit_test(test_gap_random),
		cmocka_unit_test(test_own),    cmocka_unit_test(test_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
