// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/stack/scan.h"

#include <emmintrin.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "process/elf/elffile.h"

#define STACK_MAX (1ull << 30) /* a "stack" beyond that is none: merged mappings */
#define PIECE	  (32u << 10)

static struct usp_error *restorers_add(struct stack_restorers *restorers, uint64_t address)
{
	if (restorers->n == restorers->capacity) {
		size_t capacity = restorers->capacity ? 2 * restorers->capacity : 8;
		uint64_t *v = reallocarray(restorers->v, capacity, sizeof(*v));
		if (!v)
			return &usp_error_no_memory;
		restorers->v = v;
		restorers->capacity = capacity;
	}
	restorers->v[restorers->n++] = address;
	return NULL;
}

/* The next system call instruction (0f 05), or NULL. */
static const uint8_t *find_syscall(const uint8_t *p, const uint8_t *end)
{
	const __m128i first = _mm_set1_epi8(0x0f), second = _mm_set1_epi8(0x05);
	for (; end - p >= 17; p += 16) {
		__m128i a = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), first);
		__m128i b = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + 1)), second);
		unsigned hits = (unsigned)_mm_movemask_epi8(_mm_and_si128(a, b));
		if (hits)
			return p + __builtin_ctz(hits);
	}
	for (; end - p >= 2; p++)
		if (p[0] == 0x0f && p[1] == 0x05)
			return p;
	return NULL;
}

/* In n bytes that lie at address; what ends in the first `kept` of them was found before. */
static struct usp_error *restorers_search(struct stack_restorers *restorers, const uint8_t *bytes, size_t n,
					  size_t kept, uint64_t address)
{
	static const struct {
		uint8_t size, bytes[8];
	} before[] = {{7, {0x48, 0xc7, 0xc0, 0x0f}}, {5, {0xb8, 0x0f}}}; /* mov $15, %eax: two encodings */
	for (const uint8_t *at = bytes; (at = find_syscall(at, bytes + n)); at += 2)
		for (size_t i = 0; i < 2; i++) {
			size_t into = (size_t)(at - bytes), size = before[i].size;
			if (into + 2 <= kept || into < size || memcmp(at - size, before[i].bytes, size) != 0)
				continue;
			struct usp_error *error = restorers_add(restorers, address + into - size);
			if (error)
				return error;
		}
	return NULL;
}

static int compare_addresses(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Of the module's file; of memory where there is none, or it cannot be read any more. */
static int read_segment(const struct target *target, const struct module *module, const Elf64_Phdr *phdr,
			uint64_t offset, uint8_t *buf, size_t n)
{
	if (module->elf && elf_file_read(module->elf, phdr->p_offset + offset, buf, n) == 0)
		return 0;
	return target_read(target, module->bias + phdr->p_vaddr + offset, buf, n);
}

/* Piece by piece, each with the end of the one before. */
static struct usp_error *search_segment(const struct target *target, const struct module *module,
					const Elf64_Phdr *phdr, struct stack_restorers *restorers)
{
	uint8_t buf[RESTORER_SIZE - 1 + PIECE];
	size_t kept = 0;
	if (phdr->p_type != PT_LOAD || !(phdr->p_flags & PF_X))
		return NULL;
	for (uint64_t at = 0; at < phdr->p_filesz;) {
		size_t n = phdr->p_filesz - at < PIECE ? (size_t)(phdr->p_filesz - at) : PIECE;
		uint64_t address = module->bias + phdr->p_vaddr + at;
		int r = read_segment(target, module, phdr, at, buf + kept, n);
		if (r < 0) /* a signal handler's frame might not be known as one then */
			return usp_error_errno(USP_FAILED, -r,
					       "cannot read the code of %s at 0x%" PRIx64 " in process %d",
					       module->name, address, target->pid);
		struct usp_error *error = restorers_search(restorers, buf, kept + n, kept, address - kept);
		if (error)
			return error;
		at += n;
		size_t all = kept + n;
		kept = all < RESTORER_SIZE - 1 ? all : RESTORER_SIZE - 1;
		memmove(buf, buf + all - kept, kept);
	}
	return NULL;
}

struct usp_error *stack_restorers_find(const struct target *target, const struct modules *modules,
				       struct stack_restorers *ret)
{
	struct stack_restorers found = {0};
	for (size_t m = 0; m < modules->n; m++) {
		for (size_t i = 0; i < modules->v[m]->n_phdr; i++) {
			struct usp_error *error =
				search_segment(target, modules->v[m], &modules->v[m]->phdr[i], &found);
			if (error) {
				stack_restorers_deinit(&found);
				return error;
			}
		}
	}
	if (found.n)
		qsort(found.v, found.n, sizeof(*found.v), compare_addresses);
	*ret = found;
	return NULL;
}

void stack_restorers_deinit(struct stack_restorers *restorers)
{
	free(restorers->v);
	*restorers = (struct stack_restorers){0};
}

bool stack_restorers_has(const struct stack_restorers *restorers, uint64_t address)
{
	return restorers->n &&
	       bsearch(&address, restorers->v, restorers->n, sizeof(*restorers->v), compare_addresses);
}

/*
 * The first thread's stack is [stack]: it grows, so maps that are a little old may show its start too high;
 * what lies between is then read or found to be unreadable. Any other thread's stack is the mapping that
 * holds its TCB, which the C libraries put at the stack's top: frames lie below %fs. (Should an allocation
 * have merged with that mapping from below and serve as a coroutine's stack, then all of the thread's own
 * stack lies between it and %fs, and is read.) The first thread of a child that another thread forked runs on
 * that thread's stack: not known, so walked.
 */
struct stack_extent stack_extent_of(const struct maps *maps, const struct target *target,
				    const struct thread *thread)
{
	uint64_t sp = thread->registers.rsp;
	if (thread->tid == target->pid) {
		for (size_t i = 0; i < maps->n; i++) {
			if (strcmp(maps->v[i].name, "[stack]"))
				continue;
			uint64_t below = i ? maps->v[i - 1].end : 0;
			return (struct stack_extent){
				.start = sp >= below && sp < maps->v[i].start ? sp : maps->v[i].start,
				.base = maps->v[i].end,
				.is_current = sp >= below && sp < maps->v[i].end,
			};
		}
		return (struct stack_extent){0};
	}
	const struct mapping *mapping = maps_find(maps, thread->registers.fs_base);
	if (!mapping || !(mapping->prot & PROT_WRITE))
		return (struct stack_extent){0};
	return (struct stack_extent){
		.start = mapping->start,
		.base = thread->registers.fs_base & ~(uint64_t)7,
		.is_current = sp >= mapping->start && sp < thread->registers.fs_base,
	};
}

bool stack_word_hits(const struct range_set *ranges, uint64_t word)
{
	return range_set_find(ranges, word) || range_set_find(ranges, word - 1);
}

bool stack_registers_hit(const struct user_regs_struct *r, const struct range_set *ranges)
{
	const uint64_t v[] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->r8,
			      r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		if (stack_word_hits(ranges, v[i]))
			return true;
	return range_set_find(ranges, r->rip);
}

/* The thread's own id is asked, not the process': a leader that has exited has no memory of its own any more.
 */
static int read_stack(const struct target *target, const struct thread *thread, uint64_t address, void *buf,
		      size_t n)
{
	struct iovec local = {buf, n}, remote = {(void *)address, n};
	if (process_vm_readv(thread->tid, &local, 1, &remote, 1, 0) == (ssize_t)n)
		return 0;
	return target_read(target, address, buf, n);
}

/* A signal frame is harmless when the interrupted stack goes on further up, where the scan gets to anyway. */
static int look_at_signal_frame(const struct target *target, uint64_t at, uint64_t base, bool *elsewhere)
{
	uint64_t interrupted;
	if (base - at < 8 + SIGFRAME_RSP + 8) {
		*elsewhere = true;
		return 0;
	}
	int r = target_read(target, at + 8 + SIGFRAME_RSP, &interrupted, sizeof(interrupted));
	if (r < 0)
		return r;
	if (interrupted <= at || interrupted > base)
		*elsewhere = true;
	return 0;
}

int stack_scan(const struct target *target, const struct thread *thread, uint64_t start, uint64_t base,
	       const struct range_set *ranges, const struct stack_restorers *restorers, void *buffer,
	       size_t size, struct stack_hits *ret)
{
	struct stack_hits hits = {0};
	if (start % 8 || base % 8 || start > base)
		return -EINVAL;
	if (base - start > STACK_MAX)
		return -E2BIG;
	/* Boxes first: nearly every word is in none, and one subtraction says so. A return address may equal
	 * an end. */
	uint64_t low = ranges->n ? ranges->v[0].start : 0;
	uint64_t span = ranges->n ? ranges->v[ranges->n - 1].end - low : 0;
	uint64_t signal_low = restorers->n ? restorers->v[0] : 1;
	uint64_t signal_span = restorers->n ? restorers->v[restorers->n - 1] - signal_low : 0;
	for (uint64_t at = start; at < base;) {
		size_t n = base - at < size ? base - at : size;
		int r = read_stack(target, thread, at, buffer, n);
		if (r < 0)
			return r;
		const uint64_t *words = buffer;
		for (size_t i = 0; i < n / 8; i++) {
			if (words[i] - signal_low <= signal_span &&
			    stack_restorers_has(restorers, words[i])) {
				r = look_at_signal_frame(target, at + 8 * i, base, &hits.elsewhere);
				if (r < 0)
					return r;
			}
			if (words[i] - low > span || !stack_word_hits(ranges, words[i]))
				continue;
			if (!hits.n++) {
				hits.first_at = at + 8 * i;
				hits.first_value = words[i];
			}
			hits.last_at = at + 8 * i;
			hits.last_value = words[i];
		}
		at += n;
	}
	*ret = hits;
	return 0;
}
