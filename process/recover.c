// SPDX-License-Identifier: MIT
/*
 * Every site of every payload must hold what the table says: the bytes of the topmost switched payload that
 * has the site, else the original ones. Where it holds something else that usplice can have written there
 * (another payload's bytes, the original ones, a write cut off at a page boundary), it is written anew, with
 * all threads stopped and none inside the bytes. Anything foreign is reported and left alone. Doing it twice
 * does no harm.
 */
#include "process/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <time.h>

#include "process/host/host.h"
#include "process/proc_stat.h"
#include "process/upload.h"

struct wrong_sites {
	struct poke_site *v;
	struct host_range *ranges;
	size_t n, capacity;
	const uint8_t *trap; /* one byte; NULL: no gate was under way */
	uint8_t trap_byte;
};

static const uint8_t *desired_bytes(const struct registry *registry, const struct record_function *site)
{
	for (uint32_t position = registry_height(registry); position; position--) {
		int i = registry_at_position(registry, position);
		if (!registry->entries[i].switched)
			continue;
		for (size_t k = 0; k < registry->records[i]->n_functions; k++)
			if (registry->records[i]->functions[k].site == site->site)
				return registry->records[i]->functions[k].patched;
	}
	return site->original;
}

/* Whether what stands there can be usplice's, given one thing that may have been there before. */
static bool explains(struct host *host, const struct wrong_sites *wrong, const struct record_function *site,
		     const uint8_t *before, const uint8_t *desired, struct poke_site *to)
{
	uint8_t bytes[RECORD_SITE_MAX];
	*to = (struct poke_site){.address = site->site, .length = (uint8_t)site->site_length};
	memcpy(to->old_bytes, before, site->site_length);
	memcpy(to->new_bytes, desired, site->site_length);
	enum poke_site_state state =
		poke_look(&process_host_ops, host, to, wrong->trap, wrong->trap ? 1 : 0, bytes);
	return state != POKE_SITE_UNKNOWN;
}

static struct usp_error *look_at_site(struct host *host, const struct record *record,
				      const struct record_function *site, struct wrong_sites *wrong)
{
	const struct registry *registry = host->session->registry;
	const uint8_t *desired = desired_bytes(registry, site);
	uint8_t now[RECORD_SITE_MAX];
	int r = target_read(host->session->target, site->site, now, site->site_length);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot read the code at 0x%lx", site->site);
	if (!memcmp(now, desired, site->site_length))
		return NULL;
	for (size_t i = 0; i < wrong->n; i++)
		if (wrong->v[i].address == site->site)
			return NULL;
	struct poke_site *to = &wrong->v[wrong->n];
	bool known = explains(host, wrong, site, site->original, desired, to);
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX && !known; i++)
		for (size_t k = 0; registry->records[i] && k < registry->records[i]->n_functions && !known;
		     k++)
			if (registry->records[i]->functions[k].site == site->site)
				known = explains(host, wrong, site,
						 registry->records[i]->functions[k].patched, desired, to);
	if (!known)
		return usp_errorf(USP_MISMATCH,
				  "the bytes of %s at 0x%lx (payload %s) are neither the original ones nor "
				  "usplice's: somebody else wrote there, so nothing was changed",
				  site->name, site->site, record->name);
	wrong->ranges[wrong->n++] = (struct host_range){site->site + 1, site->site + site->site_length};
	return NULL;
}

static int compare_sites(const void *a, const void *b)
{
	const struct poke_site *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* What traps, if a gate was under way. */
static struct usp_error *find_trap(struct session *session, struct wrong_sites *wrong)
{
	const struct registry_header *header = &session->registry->header;
	struct net_data data;
	_cleanup_free_ struct net_site *sites = NULL;
	size_t n;
	if (!header->net_armed || !header->net.code)
		return NULL;
	struct usp_error *error = net_read(session->target, &header->net, &data, &sites, &n);
	if (error)
		return error;
	wrong->trap_byte = (uint8_t)data.trap_byte;
	wrong->trap = net_trap(wrong->trap_byte) ? &wrong->trap_byte : NULL;
	return NULL;
}

static struct usp_error *find_wrong(struct host *host, struct wrong_sites *wrong)
{
	const struct registry *registry = host->session->registry;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		wrong->capacity += registry->records[i] ? registry->records[i]->n_functions : 0;
	wrong->v = calloc(wrong->capacity + 1, sizeof(*wrong->v));
	wrong->ranges = calloc(wrong->capacity + 1, sizeof(*wrong->ranges));
	if (!wrong->v || !wrong->ranges)
		return &usp_error_no_memory;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		for (size_t k = 0; registry->records[i] && k < registry->records[i]->n_functions; k++) {
			struct usp_error *error = look_at_site(host, registry->records[i],
							       &registry->records[i]->functions[k], wrong);
			if (error)
				return error;
		}
	qsort(wrong->v, wrong->n, sizeof(*wrong->v), compare_sites);
	return NULL;
}

/* All stand still: a helper that had decided to write a site must not do so after us. */
static void dismiss_helpers(struct host *host)
{
	const struct net_area *area = &host->session->registry->header.net;
	for (size_t i = 0; area->code && i < host->threads->n; i++) {
		struct thread *thread = &host->threads->v[i];
		if ((thread->state == THREAD_STOPPED || thread->state == THREAD_GROUP_STOPPED) &&
		    thread->has_registers && net_dismiss(area, &thread->registers))
			ptrace(PTRACE_SETREGS, thread->tid, NULL, &thread->registers);
	}
}

/* One try under a rendezvous. *again: not quiescent this time. */
static struct usp_error *try_to_write(struct host *host, struct wrong_sites *wrong, bool *again)
{
	struct session *session = host->session;
	uint64_t deadline = now_ns() + session->options.try_ms * 1000000ull;
	struct poke poke;
	*again = false;
	int r = poke_init(&poke, &process_host_ops, host, wrong->trap, wrong->trap ? 1 : 0, wrong->v,
			  wrong->n);
	if (!r)
		r = process_host_ops.stop(host, deadline);
	if (r == -CORE_ETIMEDOUT || r == -CORE_EAGAIN) {
		*again = true;
		return NULL;
	}
	if (!r)
		dismiss_helpers(host);
	if (!r) {
		r = process_host_ops.quiescent(host, wrong->ranges, wrong->n, deadline);
		*again = r == -CORE_EAGAIN || r == -CORE_ETIMEDOUT;
		if (!r)
			r = poke_recover(&poke, true);
		int released = process_host_ops.release(host);
		r = r ? r : released;
	}
	if (!r || *again)
		return NULL;
	struct usp_error *error = host->error;
	host->error = NULL;
	return error ? error : usp_error_errno(USP_FAILED, -r, "the code could not be put right");
}

static struct usp_error *put_right(struct session *session)
{
	struct host *host;
	struct wrong_sites wrong = {0};
	struct usp_error *error = host_create(session, &host);
	if (error)
		return error;
	error = host_prepare_looks(host);
	if (!error)
		error = find_trap(session, &wrong);
	if (!error)
		error = find_wrong(host, &wrong);
	bool again = wrong.n != 0;
	for (uint64_t pause = 1000000; !error && again; pause = pause < 100000000 ? pause * 2 : pause) {
		error = try_to_write(host, &wrong, &again);
		if (!error && again && now_ns() > session->deadline_ns) {
			_cleanup_free_ char *where = stack_trace_text(host->blocker.trace);
			error = usp_errorf(USP_NOT_QUIESCENT,
					   "an interrupted action could not be ended: thread %d (%s) stays "
					   "inside the bytes to be written\n%s",
					   host->blocker.tid, host->blocker.name, where ? where : "");
		}
		if (!error && again)
			process_host_ops.pause(host, pause);
	}
	free(wrong.v);
	free(wrong.ranges);
	host_destroy(host);
	return error;
}

bool recover_needed(const struct registry *registry)
{
	return registry->address && (registry->header.in_flight != REGISTRY_NONE ||
				     registry->header.pending || registry->header.net_armed);
}

/* Threads that were unblocked for the trap's signal get their masks back, where they still exist and have not
 * changed them since. All stand still. */
static struct usp_error *restore_masks(struct session *session, const struct threads *threads, uint64_t bit)
{
	_cleanup_free_ struct net_mask *masks = NULL;
	size_t n;
	struct usp_error *error = net_read_masks(session->target, &session->registry->header.net, &masks, &n);
	if (error || !n)
		return error;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < threads->n; k++) {
			uint64_t mask;
			pid_t tid = threads->v[k].tid;
			if ((uint64_t)tid == masks[i].tid && threads->v[k].state != THREAD_EXITED &&
			    ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) == 0 &&
			    mask == (masks[i].mask & ~bit))
				ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &masks[i].mask);
		}
	return net_note_masks(session->target, &session->registry->header.net, NULL, 0);
}

/* Whether some thread has met a trap whose signal is still on its way; not found out: it is. All stand still.
 */
static bool trap_pending(const struct threads *threads, uint64_t bit)
{
	for (size_t i = 0; i < threads->n; i++) {
		struct proc_masks masks;
		char path[24];
		if (threads->v[i].state == THREAD_EXITED)
			continue;
		snprintf(path, sizeof(path), "%d/status", threads->v[i].tid);
		int r = proc_masks_read(threads->target->taskfd, path, &masks);
		if (r == -ENOENT || r == -ESRCH)
			continue; /* killed meanwhile */
		if (r < 0 || (masks.pending & ~masks.blocked & bit))
			return true;
	}
	return false;
}

/* With all threads stopped. *again: not this time. */
static struct usp_error *try_to_disarm(struct session *session, uint64_t bit, bool *again)
{
	struct registry *registry = session->registry;
	struct threads *threads;
	struct remote *remote = NULL;
	struct usp_error *error = threads_seize(session->target, &threads);
	if (error)
		return error;
	error = threads_stop(threads, session->deadline_ns);
	*again = !error && bit && trap_pending(threads, bit);
	if (!error && !*again && bit)
		error = restore_masks(session, threads, bit);
	if (!error && !*again)
		error = remote_open(session->target, &session->maps, threads, &registry->header.area, NULL,
				    NULL, &remote);
	if (!error && !*again)
		error = net_disarm(session->target, remote, &registry->header.net);
	struct usp_error *close_error = remote_close(remote);
	if (!error)
		error = close_error;
	else
		usp_error_destroy(close_error);
	threads_detach(threads);
	return error;
}

/* The text is right again and nothing traps any more: masks and handler, once no trap is on its way. */
static struct usp_error *take_net_away(struct session *session)
{
	struct registry *registry = session->registry;
	struct net_area *area = &registry->header.net;
	struct net_data data = {0};
	_cleanup_free_ struct net_site *sites = NULL;
	size_t n;
	struct usp_error *error = net_read(session->target, area, &data, &sites, &n);
	if (!error)
		error = net_retire(session->target, area);
	if (!error)
		error = net_done(session->target, area);
	/* 0: killed before it was armed. */
	uint64_t bit = data.signal >= 1 && data.signal <= 64 ? 1ull << (data.signal - 1) : 0;
	for (bool again = true; !error && again;) {
		error = try_to_disarm(session, bit, &again);
		if (!error && again && now_ns() > session->deadline_ns)
			error = usp_errorf(
				USP_NOT_QUIESCENT,
				"a thread of process %d (%s) has met a trap and does not get on; run "
				"`usplice recover` again at a quieter time",
				session->target->pid, session->target->name);
		if (!error && again)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return error ? error : registry_set_net(session->target, registry, area, false);
}

/* Before there was a registry: borrowing a thread once more takes the stub away. */
static struct usp_error *take_stub_away(struct session *session)
{
	struct remote *remote;
	struct remote_area area = {0};
	struct usp_error *error =
		remote_open(session->target, &session->maps, NULL, &area, NULL, NULL, &remote);
	return error ? error : remote_close(remote);
}

struct usp_error *recover(struct session *session, bool *recovered)
{
	struct registry *registry = session->registry;
	bool stub = !registry->address && remote_left_stub(session->target, &session->maps);
	bool needed = recover_needed(registry) || stub;
	if (recovered)
		*recovered = needed;
	if (!needed)
		return NULL;
	if (stub)
		return usp_error_prefix(take_stub_away(session),
					"an earlier usplice was killed in the middle of an action");
	struct usp_error *error = NULL;
	if (registry->header.in_flight != REGISTRY_NONE) {
		error = put_right(session);
		if (!error)
			error = registry_set_in_flight(session->target, registry, REGISTRY_NONE);
	}
	if (!error && registry->header.net_armed)
		error = take_net_away(session);
	if (!error)
		error = upload_recover(session, NULL);
	if (error)
		return usp_error_prefix(error, "an earlier usplice was killed in the middle of an action");
	session_log(session, USP_LOG_INFO, "usplice",
		    "an action that a killed usplice left unfinished was finished or undone");
	return NULL;
}
