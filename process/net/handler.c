/* SPDX-License-Identifier: MIT */
/*
 * Putting the net's entry in the place of the program's action, and the program's back. The program may set
 * another one at any moment: every change is an exchange, and what comes back and was not expected goes in
 * again.
 */
#define _GNU_SOURCE
#include "process/net/internal.h"

#include <signal.h>
#include <sys/syscall.h>

#define TRIES	    16 /* while the program changes its action at the same time */
#define SA_RESTORER 0x04000000u

/* What sigaction() tells and takes, as the kernel has it. */
static struct usp_error *exchange(const struct target *target, struct remote *remote,
				  const struct net_area *area, int signal, const struct net_action *new,
				  struct net_action *old)
{
	const uint64_t scratch = area->code + NET_STATE_OFFSET + NET_SCRATCH;
	int64_t result;
	struct usp_error *error = new ? net_put(target, scratch, new, sizeof(*new)) : NULL;
	if (error)
		return error;
	error = remote_syscall(
		remote, SYS_rt_sigaction,
		(const uint64_t[6]){(uint64_t)signal, new ? scratch : 0, scratch + sizeof(*new), 8}, &result);
	if (!error && result < 0)
		error = usp_error_errno(USP_FAILED, (int)-result, "sigaction(%d) in %s (%d)", signal,
					target->name, target->pid);
	return error ? error : net_get(target, scratch + sizeof(*new), old, sizeof(*old));
}

static bool same(const struct net_action *a, const struct net_action *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* new in the place of expected; *done false: the program has set another one, which stays. */
static struct usp_error *replace(const struct target *target, struct remote *remote,
				 const struct net_area *area, int signal, const struct net_action *expected,
				 const struct net_action *new, bool *done)
{
	struct net_action old, ours = *new;
	struct usp_error *error = exchange(target, remote, area, signal, new, &old);
	*done = !error && same(&old, expected);
	for (int i = 0; !error && !*done && i < TRIES; i++) {
		struct net_action put_back = old;
		error = exchange(target, remote, area, signal, &put_back, &old);
		if (error || same(&old, &ours))
			break;
		ours = put_back; /* it was quicker again: its latest counts */
	}
	return error;
}

/* What is installed for an action: it runs whenever the action would, on the same stack, with the same mask.
 */
static struct net_action stand_in(const struct net_area *area, const struct net_data *data, uint64_t entry)
{
	const struct net_action *program = &data->programs[entry].action;
	struct net_action ret = {
		.handler = area->code + NET_ENTRIES + NET_ENTRIES * entry,
		/* What it then does is done by hand; the signal is blocked meanwhile. */
		.flags = SA_ONSTACK | SA_RESTART | SA_SIGINFO | SA_RESTORER,
		.restorer = area->code + net_code_restorer,
	};
	if (program->handler != (uintptr_t)SIG_DFL && program->handler != (uintptr_t)SIG_IGN) {
		ret.flags = (program->flags & ~(uint64_t)(uint32_t)SA_RESETHAND) | SA_SIGINFO | SA_RESTORER;
		if (program->flags & SA_RESTORER)
			ret.restorer = program->restorer;
		ret.mask = program->mask;
	}
	return ret;
}

/* The kernel changes nothing but the handler when it resets one. */
static bool is_reset(const struct net_action *now, const struct net_action *ours)
{
	return now->handler == (uintptr_t)SIG_DFL && now->flags == ours->flags &&
	       now->restorer == ours->restorer && now->mask == ours->mask;
}

/* Which entry an address is; NET_PROGRAMS_MAX: none that stands for an action of this signal. */
static uint64_t entry_at(const struct net_area *area, const struct net_data *data, uint64_t address,
			 int signal)
{
	uint64_t offset = address - area->code - NET_ENTRIES;
	if (offset % NET_ENTRIES || offset / NET_ENTRIES >= data->n_programs ||
	    data->programs[offset / NET_ENTRIES].signal != (uint64_t)signal)
		return NET_PROGRAMS_MAX;
	return offset / NET_ENTRIES;
}

/* The entry of ours that is installed, or was until the kernel reset it. */
static uint64_t entry_installed(const struct net_area *area, const struct net_data *data,
				const struct net_action *now, int signal)
{
	uint64_t entry = entry_at(area, data, now->handler, signal);
	if (entry < NET_PROGRAMS_MAX || data->entry == NET_PROGRAMS_MAX)
		return entry;
	const struct net_action ours = stand_in(area, data, data->entry);
	return is_reset(now, &ours) ? data->entry : NET_PROGRAMS_MAX;
}

static uint64_t fired_address(const struct net_area *area, uint64_t entry)
{
	return area->code + NET_STATE_OFFSET + offsetof(struct net_state, fired) + entry * sizeof(uint64_t);
}

/* The program's action for which an entry stands, as it would now be. */
static struct usp_error *program_action(const struct target *target, const struct net_area *area,
					const struct net_data *data, uint64_t entry, struct net_action *ret)
{
	uint64_t fired;
	struct usp_error *error = net_get(target, fired_address(area, entry), &fired, sizeof(fired));
	*ret = data->programs[entry].action;
	if (!error && fired)
		ret->handler = (uintptr_t)SIG_DFL;
	return error;
}

/* The entry that stands for this action, a new one if need be. */
static struct usp_error *entry_for(const struct target *target, const struct net_area *area,
				   struct net_data *data, int signal, const struct net_action *action,
				   uint64_t *ret)
{
	for (*ret = 0; *ret < data->n_programs; ++*ret)
		if (data->programs[*ret].signal == (uint64_t)signal &&
		    same(&data->programs[*ret].action, action))
			return NULL;
	if (*ret == NET_PROGRAMS_MAX)
		return usp_errorf(
			USP_UNSUPPORTED,
			"%s (%d) has had %u different handlers for signals that usplice needs; there "
			"is no room for another",
			target->name, target->pid, NET_PROGRAMS_MAX);
	struct net_program *program = &data->programs[*ret];
	*program = (struct net_program){*action, (uint64_t)signal};
	struct usp_error *error =
		net_put(target, area->data + offsetof(struct net_data, programs) + *ret * sizeof(*program),
			program, sizeof(*program));
	if (!error)
		error = net_put_word(target, area, offsetof(struct net_data, n_programs), *ret + 1);
	if (!error)
		data->n_programs = *ret + 1;
	return error;
}

static struct usp_error *note_entry(const struct target *target, const struct net_area *area,
				    struct net_data *data, uint64_t entry)
{
	data->entry = entry;
	return net_put_word(target, area, offsetof(struct net_data, entry), entry);
}

static struct usp_error *forget_fired(const struct target *target, const struct net_area *area,
				      uint64_t entry)
{
	const uint64_t none = 0;
	return net_put(target, fired_address(area, entry), &none, sizeof(none));
}

struct usp_error *net_install(const struct target *target, struct remote *remote, const struct net_area *area,
			      struct net_data *data, int signal)
{
	for (int i = 0; i < TRIES; i++) {
		struct net_action now, program;
		uint64_t entry;
		bool done;
		struct usp_error *error = exchange(target, remote, area, signal, NULL, &now);
		if (error)
			return error;
		entry = entry_installed(area, data, &now, signal);
		program = now;
		if (entry < NET_PROGRAMS_MAX)
			error = program_action(target, area, data, entry, &program);
		if (!error)
			error = entry_for(target, area, data, signal, &program, &entry);
		if (!error)
			error = forget_fired(target, area, entry);
		if (!error)
			error = note_entry(target, area, data, entry);
		if (error)
			return error;
		const struct net_action ours = stand_in(area, data, entry);
		error = replace(target, remote, area, signal, &now, &ours, &done);
		if (error || done)
			return error;
	}
	return usp_errorf(USP_NOT_QUIESCENT, "%s (%d) changes its action for signal %d all the time",
			  target->name, target->pid, signal);
}

struct usp_error *net_disarm(const struct target *target, struct remote *remote, const struct net_area *area)
{
	struct net_data data;
	struct usp_error *error = net_read_data(target, area, &data);
	if (error || data.entry == NET_PROGRAMS_MAX)
		return error;
	if (data.n_sites)
		return net_busy(target);
	const int signal = (int)data.programs[data.entry].signal;
	struct net_action now, program;
	bool done;
	error = exchange(target, remote, area, signal, NULL, &now);
	if (error)
		return error;
	uint64_t entry = entry_installed(area, &data, &now, signal);
	if (entry < NET_PROGRAMS_MAX) {
		error = program_action(target, area, &data, entry, &program);
		if (!error)
			error = replace(target, remote, area, signal, &now, &program, &done);
		if (!error)
			error = forget_fired(target, area, entry);
	}
	return error ? error : note_entry(target, area, &data, NET_PROGRAMS_MAX);
}

struct usp_error *net_repair_handler(const struct target *target, struct remote *remote,
				     const struct net_area *area, enum net_handler *ret)
{
	struct net_data data;
	*ret = NET_HANDLER_NONE;
	struct usp_error *error = net_read_data(target, area, &data);
	if (error || data.entry == NET_PROGRAMS_MAX)
		return error;
	const int signal = (int)data.programs[data.entry].signal;
	const struct net_action ours = stand_in(area, &data, data.entry);
	struct net_action now;
	error = exchange(target, remote, area, signal, NULL, &now);
	if (error)
		return error;
	*ret = NET_HANDLER_PROGRAMS;
	if (now.handler == ours.handler)
		*ret = NET_HANDLER_OURS;
	else if (is_reset(&now, &ours)) {
		bool done;
		error = replace(target, remote, area, signal, &now, &ours, &done);
		if (done)
			*ret = NET_HANDLER_REPAIRED;
	}
	return error;
}
