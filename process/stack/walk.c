// SPDX-License-Identifier: MIT
#include "process/stack/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "process/stack/code.h"

#define PAGE  4096u
#define PAGES 16 /* of the target's memory kept during one walk */
#define ROWS \
	1024 /* CFI rows kept, by address: recursion and threads that wait in the same place repeat them */

struct row {
	uint64_t address;
	Dwarf_Frame *frame; /* malloc'd by libdw; NULL: there is none */
};

struct stack_walker {
	const struct target *target;
	const struct stack_restorers *restorers;
	struct stack_code code;
	struct row rows[ROWS];
	uint64_t page_address[PAGES]; /* 1: nothing there */
	uint8_t pages[PAGES][PAGE];
};

struct usp_error *stack_walker_create(const struct target *target, const struct modules *modules,
				      const struct stack_image *images, size_t n_images,
				      const struct stack_restorers *restorers, struct stack_walker **ret)
{
	struct stack_walker *walker = calloc(1, sizeof(*walker));
	if (!walker)
		return &usp_error_no_memory;
	walker->target = target;
	walker->restorers = restorers;
	struct usp_error *error = stack_code_open(target, modules, images, n_images, &walker->code);
	if (error) {
		free(walker);
		return error;
	}
	*ret = walker;
	return NULL;
}

void stack_walker_prepare(struct stack_walker *walker)
{
	stack_code_prepare(&walker->code);
}

void stack_walker_destroy(struct stack_walker *walker)
{
	if (!walker)
		return;
	for (size_t i = 0; i < ROWS; i++)
		free(walker->rows[i].frame);
	stack_code_close(&walker->code);
	free(walker);
}

static bool read_word(void *context, uint64_t address, uint64_t *value)
{
	struct stack_walker *walker = context;
	uint64_t page = address & ~(uint64_t)(PAGE - 1), offset = address - page;
	size_t slot = page / PAGE % PAGES;
	if (offset > PAGE - 8)
		return target_read(walker->target, address, value, sizeof(*value)) == 0;
	if (walker->page_address[slot] != page) {
		walker->page_address[slot] = 1;
		if (target_read(walker->target, page, walker->pages[slot], PAGE) < 0)
			return false;
		walker->page_address[slot] = page;
	}
	memcpy(value, &walker->pages[slot][offset], sizeof(*value));
	return true;
}

static Dwarf_Frame *find_row(struct stack_walker *walker, uint64_t address)
{
	struct row *row = &walker->rows[(address ^ address >> 10) % ROWS];
	if (row->address != address) {
		free(row->frame);
		*row = (struct row){address, stack_code_row(&walker->code, address)};
	}
	return row->frame;
}

/*
 * A signal trampoline by its bytes: musl's and Go's have no CFI. In it, the stack pointer is at the ucontext
 * (it has been "called" by ret). Also when the thread stands in it, before either of its two instructions.
 */
static bool is_trampoline(const struct stack_walker *walker, const struct stack_frame *frame)
{
	uint64_t pc = frame->pc;
	if (stack_restorers_has(walker->restorers, pc))
		return true;
	return frame->exact && (stack_restorers_has(walker->restorers, pc - 7) ||
				stack_restorers_has(walker->restorers, pc - 5));
}

static enum cfi_result step_through_signal(struct stack_walker *walker, struct cfi_registers *registers)
{
	/* mcontext's order: r8-r15 rdi rsi rbp rbx rdx rax rcx rsp rip, in DWARF's numbers. */
	static const uint8_t order[] = {8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, CFI_RSP, CFI_RA};
	struct cfi_registers next = {0};
	uint64_t at = registers->v[CFI_RSP] + SIGFRAME_REGISTERS;
	for (size_t i = 0; i < sizeof(order); i++) {
		if (!read_word(walker, at + 8 * i, &next.v[order[i]]))
			return CFI_FAILED;
		next.known |= 1u << order[i];
	}
	if (!next.v[CFI_RA])
		return CFI_FAILED; /* a jump to 0 was interrupted: who jumped there is not known */
	*registers = next;
	return CFI_STEPPED;
}

/*
 * makecontext() makes up a return address: the very start of a function that nobody calls, glibc's
 * __start_context. Known by its first two instructions, "mov %rbx,%rsp; mov (%rsp),%rdi": it takes a new
 * stack pointer and does not look back. (Or its CFI says so, where a libc has that.) Asked only where nothing
 * covers the call that should be before a return address.
 */
static bool is_context_start(struct stack_walker *walker, uint64_t pc)
{
	static const uint8_t code[] = {0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24};
	uint8_t found[sizeof(code)];
	return target_read(walker->target, pc, found, sizeof(found)) == 0 &&
	       !memcmp(found, code, sizeof(code));
}

static enum cfi_result step_by_row(struct stack_walker *walker, const struct stack_frame *frame,
				   struct cfi_registers *registers, bool *signal)
{
	Dwarf_Frame *row = find_row(walker, frame->exact ? frame->pc : frame->pc - 1);
	if (row)
		return cfi_step(row, read_word, walker, registers, signal);
	row = frame->exact ? NULL : find_row(walker, frame->pc);
	struct cfi_registers unused = *registers;
	if (!row)
		return CFI_FAILED;
	if (is_context_start(walker, frame->pc) ||
	    cfi_step(row, read_word, walker, &unused, signal) == CFI_OUTERMOST)
		return CFI_OUTERMOST;
	return CFI_FAILED;
}

static void start_registers(const struct user_regs_struct *r, bool asleep, struct cfi_registers *ret)
{
	*ret = (struct cfi_registers){
		.v = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10,
		      r->r11, r->r12, r->r13, r->r14, r->r15, r->rip},
		.known = (1u << CFI_REGISTERS) - 1,
	};
	/* What a sleeper keeps in the registers that calls preserve is found where its frames saved them, or
	 * not at all. */
	if (asleep)
		ret->known = 1u << CFI_RSP | 1u << CFI_RA;
}

static bool add_frame(struct stack_walk *walk, struct stack_frame frame)
{
	if (walk->n == walk->capacity) {
		size_t capacity = walk->capacity ? 2 * walk->capacity : 64;
		struct stack_frame *v = reallocarray(walk->v, capacity, sizeof(*v));
		if (!v)
			return false;
		walk->v = v;
		walk->capacity = capacity;
	}
	walk->v[walk->n++] = frame;
	return true;
}

struct usp_error *stack_walk(struct stack_walker *walker, const struct thread *thread,
			     struct stack_walk *walk)
{
	bool exact = true;
	for (size_t i = 0; i < PAGES; i++)
		walker->page_address[i] = 1; /* no page: the target has run since the last walk */
	walk->n = 0;
	walk->crossed_signal = false;
	start_registers(&thread->registers, thread->asleep, &walk->registers);
	for (;;) {
		struct cfi_registers *registers = &walk->registers;
		struct stack_frame frame = {registers->v[CFI_RA], registers->v[CFI_RSP], exact};
		struct cfi_registers next = *registers;
		enum cfi_result result;
		bool signal = false;
		if (walk->n == WALK_FRAMES_MAX) {
			walk->end = WALK_TOO_DEEP;
			return NULL;
		}
		if (!add_frame(walk, frame))
			return &usp_error_no_memory;
		if (is_trampoline(walker, &frame)) {
			signal = true;
			result = step_through_signal(walker, &next);
		} else {
			result = step_by_row(walker, &frame, &next, &signal);
			if (result == CFI_FAILED && !find_row(walker, exact ? frame.pc : frame.pc - 1)) {
				walk->end = WALK_NO_CFI;
				return NULL;
			}
		}
		if (result != CFI_STEPPED) {
			walk->end = result == CFI_OUTERMOST ? WALK_OUTERMOST : WALK_UNREADABLE;
			return NULL;
		}
		if (!signal && next.v[CFI_RSP] <= frame.sp) {
			walk->end = WALK_NO_PROGRESS;
			return NULL;
		}
		if (signal)
			walk->crossed_signal = true;
		*registers = next;
		exact = signal;
	}
}

void stack_walk_deinit(struct stack_walk *walk)
{
	free(walk->v);
	*walk = (struct stack_walk){0};
}

void stack_frame_describe(struct stack_walker *walker, const struct stack_frame *frame, char *buf,
			  size_t size)
{
	if (is_trampoline(walker, frame))
		snprintf(buf, size, "<signal handler called>");
	else
		stack_code_describe(&walker->code, frame->pc, frame->exact, buf, size);
}

const char *walk_end_string(enum walk_end end)
{
	switch (end) {
	case WALK_OUTERMOST:
		return "the outermost frame";
	case WALK_NO_CFI:
		return "no unwind information covers this frame";
	case WALK_UNREADABLE:
		return "its unwind information could not be applied (memory not readable, or a rule not "
		       "understood)";
	case WALK_NO_PROGRESS:
		return "its caller's frame would lie below it";
	case WALK_TOO_DEEP:
		return "too many frames";
	}
	return "?";
}
