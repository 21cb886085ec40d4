// SPDX-License-Identifier: MIT
#include "process/stack/stack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "process/stack/scan.h"
#include "process/stack/walk.h"

#define BUFFER_SIZE  (64u << 10)
#define FRAMES_SHOWN 64 /* of the top of a deep stack; the frame inside is shown in any case */
#define DESCRIPTION  512

struct stack_checker {
	const struct target *target;
	const struct maps *maps; /* as given, or &fresh */
	struct maps fresh;	 /* read again when a thread's stack was not in the old ones */
	struct stack_restorers restorers;
	struct stack_walker *walker;
	struct stack_walk walk;
	void *buffer;
};

struct traced_frame {
	struct stack_frame frame;
	size_t number;
	bool inside;
};

struct stack_trace {
	struct stack_checker *checker;
	enum stack_verdict verdict;
	enum walk_end end;
	struct stack_extent extent;
	struct stack_hits hits;
	int scan_result;
	bool skipped; /* frames that are not shown */
	size_t n;
	struct traced_frame v[];
};

struct usp_error *stack_checker_create(const struct target *target, const struct maps *maps,
				       const struct modules *modules, const struct stack_image *images,
				       size_t n_images, struct stack_checker **ret)
{
	struct stack_checker *checker = calloc(1, sizeof(*checker));
	if (!checker)
		return &usp_error_no_memory;
	checker->target = target;
	checker->maps = maps;
	checker->buffer = aligned_alloc(64, BUFFER_SIZE);
	struct usp_error *error = checker->buffer ? NULL : &usp_error_no_memory;
	if (!error)
		error = stack_walker_create(target, modules, images, n_images, &checker->restorers,
					    &checker->walker);
	if (!error)
		error = stack_restorers_find(target, modules, &checker->restorers);
	if (error) {
		stack_checker_destroy(checker);
		return error;
	}
	*ret = checker;
	return NULL;
}

void stack_checker_prepare(struct stack_checker *checker)
{
	stack_walker_prepare(checker->walker);
}

void stack_checker_destroy(struct stack_checker *checker)
{
	if (!checker)
		return;
	stack_walker_destroy(checker->walker);
	stack_walk_deinit(&checker->walk);
	stack_restorers_deinit(&checker->restorers);
	maps_deinit(&checker->fresh);
	free(checker->buffer);
	free(checker);
}

/*
 * A thread that was born after the maps were read has its stack where they show nothing. And the first
 * thread's stack may have grown since: of interest only if it is on another one now, and all of its own is to
 * be scanned.
 */
static struct usp_error *find_extent(struct stack_checker *checker, const struct thread *thread,
				     struct stack_extent *extent)
{
	bool is_first = thread->tid == checker->target->pid;
	*extent = stack_extent_of(checker->maps, checker->target, thread);
	if (extent->is_current ||
	    (!is_first && extent->base && maps_find(checker->maps, thread->registers.rsp)))
		return NULL;
	struct maps maps = {0};
	struct usp_error *error = maps_read(checker->target, &maps);
	if (error)
		return error;
	maps_deinit(&checker->fresh);
	checker->fresh = maps;
	checker->maps = &checker->fresh;
	*extent = stack_extent_of(checker->maps, checker->target, thread);
	return NULL;
}

static bool frame_is_inside(const struct stack_frame *frame, const struct range_set *ranges)
{
	return frame->exact ? range_set_find(ranges, frame->pc) != NULL : stack_word_hits(ranges, frame->pc);
}

static const struct stack_frame *find_inside(const struct stack_walk *walk, const struct range_set *ranges)
{
	for (size_t i = 0; i < walk->n; i++)
		if (frame_is_inside(&walk->v[i], ranges))
			return &walk->v[i];
	return NULL;
}

/* In the trampoline itself the interrupted frames need not lie above the stack pointer. */
static bool stands_in_trampoline(const struct stack_restorers *restorers, uint64_t pc)
{
	for (unsigned i = 0; i <= RESTORER_SIZE; i++)
		if (stack_restorers_has(restorers, pc - i))
			return true;
	return false;
}

/* Callee-saved registers as the last frame of an incomplete walk left them: one may hold its return address.
 */
static bool known_registers_hit(const struct cfi_registers *registers, const struct range_set *ranges)
{
	for (unsigned i = 0; i < CFI_RA; i++)
		if ((registers->known & (1u << i)) && stack_word_hits(ranges, registers->v[i]))
			return true;
	return false;
}

/*
 * Whether the walk of a thread on its own stack settles what the scan found. It speaks for the stack up to
 * its last frame; what lies beyond is settled only if the scan found nothing there. So a stale word in a dead
 * part of some frame blocks nobody, and a walk that ended early in code without CFI is good for what it has
 * seen.
 */
static bool walk_clears(const struct stack_walk *walk, const struct stack_extent *extent,
			const struct stack_hits *hits, const struct range_set *ranges)
{
	uint64_t covered = walk->v[walk->n - 1].sp;
	bool ended_here = covered >= extent->start && covered <= extent->base;
	if (walk->end == WALK_OUTERMOST)
		return ended_here && (!hits->n || hits->last_at < covered);
	return ended_here && !walk->crossed_signal && !hits->elsewhere &&
	       !known_registers_hit(&walk->registers, ranges) && (!hits->n || hits->last_at < covered);
}

/* Which frames a person is shown: the first ones, and the first inside. */
static bool is_shown(size_t i, bool inside)
{
	return i < FRAMES_SHOWN || inside;
}

static struct usp_error *keep_trace(struct stack_checker *checker, const struct range_set *ranges,
				    enum stack_verdict verdict, const struct stack_extent *extent,
				    const struct stack_hits *hits, int scan_result, struct stack_trace **ret)
{
	const struct stack_walk *walk = &checker->walk;
	if (!ret || verdict == STACK_FREE)
		return NULL;
	size_t n = walk->n < FRAMES_SHOWN ? walk->n : FRAMES_SHOWN + 1;
	struct stack_trace *trace = calloc(1, sizeof(*trace) + n * sizeof(trace->v[0]));
	if (!trace)
		return &usp_error_no_memory;
	trace->checker = checker;
	trace->verdict = verdict;
	trace->end = walk->end;
	trace->extent = *extent;
	trace->hits = *hits;
	trace->scan_result = scan_result;
	for (size_t i = 0; i < walk->n; i++) {
		bool inside = frame_is_inside(&walk->v[i], ranges);
		if (!is_shown(i, inside)) {
			trace->skipped = true;
			continue;
		}
		trace->v[trace->n++] = (struct traced_frame){walk->v[i], i, inside};
		if (i >= FRAMES_SHOWN)
			break; /* one is enough to know */
	}
	*ret = trace;
	return NULL;
}

void stack_trace_free(struct stack_trace *trace)
{
	free(trace);
}

static void describe_walk(const struct stack_trace *trace, FILE *f)
{
	char line[DESCRIPTION];
	for (size_t i = 0; i < trace->n; i++) {
		const struct traced_frame *at = &trace->v[i];
		if (at->number != i)
			fprintf(f, "   ...\n");
		stack_frame_describe(trace->checker->walker, &at->frame, line, sizeof(line));
		fprintf(f, "#%-2zu 0x%016" PRIx64 " %s%s\n", at->number, at->frame.pc, line,
			at->inside ? "  <- here" : "");
	}
	if (trace->skipped && trace->n <= FRAMES_SHOWN)
		fprintf(f, "   ...\n");
	if (trace->end != WALK_OUTERMOST)
		fprintf(f, "   (the backtrace ends here: %s)\n", walk_end_string(trace->end));
}

static void describe_doubt(const struct stack_trace *trace, FILE *f)
{
	char line[DESCRIPTION];
	if (!trace->extent.base)
		fprintf(f, "   this thread's own stack is not known\n");
	else if (!trace->extent.is_current)
		fprintf(f, "   the thread runs on another stack than its own (coroutine, alternate signal "
			   "stack)\n");
	if (trace->scan_result < 0)
		fprintf(f, "   its stack could not be read\n");
	else if (trace->hits.n) {
		struct stack_frame frame = {trace->hits.last_value, 0, false};
		stack_frame_describe(trace->checker->walker, &frame, line, sizeof(line));
		fprintf(f,
			"   stack word at 0x%" PRIx64 ": 0x%016" PRIx64 " %s  <- here, perhaps left over\n",
			trace->hits.last_at, trace->hits.last_value, line);
	}
}

char *stack_trace_text(const struct stack_trace *trace)
{
	char *text = NULL;
	size_t size;
	FILE *f = trace ? open_memstream(&text, &size) : NULL;
	if (!f)
		return NULL;
	describe_walk(trace, f);
	if (trace->verdict == STACK_UNKNOWN)
		describe_doubt(trace, f);
	if (!fclose(f))
		return text;
	free(text);
	return NULL;
}

static int scan(struct stack_checker *checker, const struct thread *thread, uint64_t from, uint64_t base,
		const struct range_set *ranges, struct stack_hits *hits)
{
	return stack_scan(checker->target, thread, from & ~(uint64_t)7, base, ranges, &checker->restorers,
			  checker->buffer, BUFFER_SIZE, hits);
}

/*
 * A thread on a foreign stack, no frame of its walk inside. A signal handler's walk goes on, through the
 * signal frame, to the thread's own stack, and ends there: it has seen all. A coroutine's ends over there,
 * and the thread has frames on its own stack too, which some switch will wake: nothing says where they begin,
 * so all of it is scanned, dead parts as well. No stack of its own is known (no TLS): the walk is all there
 * is.
 */
static enum stack_verdict judge_foreign(struct stack_checker *checker, const struct thread *thread,
					const struct range_set *ranges, const struct stack_extent *extent,
					struct stack_hits *hits, int *result)
{
	const struct stack_walk *walk = &checker->walk;
	if (walk->end != WALK_OUTERMOST)
		return STACK_UNKNOWN;
	if (!extent->base)
		return STACK_FREE;
	uint64_t covered = walk->v[walk->n - 1].sp;
	bool ended_here = covered >= extent->start && covered <= extent->base;
	*result = scan(checker, thread, ended_here ? covered : extent->start, extent->base, ranges, hits);
	return *result == 0 && !hits->n ? STACK_FREE : STACK_UNKNOWN;
}

/*
 * 1. The scan: rip and the general registers, then every word from the stack pointer to the base. Nothing
 * below the stack pointer is asked: the red zone is data of the function that runs, and that function is
 * judged by rip; the return address of a call is at or above the stack pointer from the call until its ret.
 * 2. Nothing found, base known, no frames elsewhere: free. That is all for nearly every thread.
 * 3. The walk: a frame inside: busy. None, and what it did not cover holds no hit: free. Otherwise unknown.
 */
struct usp_error *stack_check(struct stack_checker *checker, const struct thread *thread,
			      const struct range_set *ranges, enum stack_verdict *verdict,
			      struct stack_trace **trace)
{
	struct stack_extent extent;
	struct stack_hits hits = {0};
	const struct user_regs_struct *r = &thread->registers;
	int result = 0;
	if (trace)
		*trace = NULL;
	if (!thread->has_registers)
		return usp_errorf(USP_FAILED, "thread %d (%s): judged without its registers", thread->tid,
				  thread->name);
	struct usp_error *error = find_extent(checker, thread, &extent);
	if (error)
		return error;
	if (extent.is_current) {
		result = scan(checker, thread, r->rsp, extent.base, ranges, &hits);
		if (result == 0 && !hits.n && !hits.elsewhere && r->rsp % 8 == 0 &&
		    !stands_in_trampoline(&checker->restorers, r->rip) && !stack_registers_hit(r, ranges)) {
			*verdict = STACK_FREE;
			return NULL;
		}
	}
	error = stack_walk(checker->walker, thread, &checker->walk);
	if (error)
		return error;
	if (find_inside(&checker->walk, ranges))
		*verdict = STACK_BUSY;
	else if (!extent.is_current)
		*verdict = judge_foreign(checker, thread, ranges, &extent, &hits, &result);
	else if (result == 0 && r->rsp % 8 == 0 && walk_clears(&checker->walk, &extent, &hits, ranges))
		*verdict = STACK_FREE;
	else
		*verdict = STACK_UNKNOWN;
	return keep_trace(checker, ranges, *verdict, &extent, &hits, result, trace);
}

struct usp_error *stack_walk_avoids(struct stack_checker *checker, const struct thread *thread,
				    const struct range_set *ranges, bool *avoids)
{
	if (!thread->has_registers)
		return usp_errorf(USP_FAILED, "thread %d (%s): judged without its registers", thread->tid,
				  thread->name);
	struct usp_error *error = stack_walk(checker->walker, thread, &checker->walk);
	if (error)
		return error;
	*avoids = checker->walk.end == WALK_OUTERMOST && !find_inside(&checker->walk, ranges);
	return NULL;
}

struct usp_error *stack_in_handler(struct stack_checker *checker, const struct thread *thread,
				   bool *in_handler)
{
	*in_handler = true;
	if (!thread->has_registers)
		return NULL;
	struct usp_error *error = stack_walk(checker->walker, thread, &checker->walk);
	*in_handler = error || checker->walk.end != WALK_OUTERMOST || checker->walk.crossed_signal;
	return error;
}
