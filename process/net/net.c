/* SPDX-License-Identifier: MIT */
/*
 * The table, its publication, and reading it back. Order matters for whoever runs the handler meanwhile, for
 * a trap of the program's own: while the table is written, n_late is 0 and nothing is found.
 */
#include "process/net/internal.h"

#include <errno.h>
#include <signal.h>

static const struct net_trap traps[] = {
	{0xcc, SIGTRAP, 1, 3},
	{0xf4, SIGSEGV, 0, 13},
	{0xce, SIGILL, 0, 6},
	{0xd6, SIGILL, 0, 6},
};

const struct net_trap *net_trap(uint8_t byte)
{
	for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++)
		if (traps[i].byte == byte)
			return &traps[i];
	return NULL;
}

struct usp_error *net_damaged(const struct target *target, const char *what)
{
	return usp_errorf(USP_FAILED,
			  "usplice's safety net in %s (%d) is damaged (%s); nothing was changed. Restart the "
			  "program to be rid of it",
			  target->name, target->pid, what);
}

struct usp_error *net_busy(const struct target *target)
{
	return usp_errorf(USP_WRONG_STATE,
			  "the safety net in %s (%d) still serves the sites of an action that was not ended; "
			  "recover first",
			  target->name, target->pid);
}

struct usp_error *net_put(const struct target *target, uint64_t address, const void *bytes, size_t n)
{
	int r = remote_write(target, address, bytes, n);
	return r < 0 ? usp_error_errno(r == -ESRCH ? USP_GONE : USP_FAILED, -r,
				       "writing usplice's safety net at 0x%lx in %s (%d)", (long)address,
				       target->name, target->pid)
		     : NULL;
}

struct usp_error *net_get(const struct target *target, uint64_t address, void *bytes, size_t n)
{
	int r = target_read(target, address, bytes, n);
	return r < 0 ? usp_error_errno(r == -ESRCH ? USP_GONE : USP_FAILED, -r,
				       "reading usplice's safety net at 0x%lx in %s (%d)", (long)address,
				       target->name, target->pid)
		     : NULL;
}

static bool trap_is_sound(const struct net_data *data)
{
	if (!data->n_late && !data->n_sites)
		return true;
	const struct net_trap *trap =
		data->trap_byte <= UINT8_MAX ? net_trap((uint8_t)data->trap_byte) : NULL;
	return trap && data->trap_adjust == trap->adjust && data->trap_number == trap->number &&
	       data->signal == (uint64_t)trap->signal && data->word_address % 8 == 0;
}

struct usp_error *net_read_data(const struct target *target, const struct net_area *area,
				struct net_data *ret)
{
	if (!area->code || area->data - area->code != NET_DATA_OFFSET || area->data_size < NET_TABLE_OFFSET)
		return usp_errorf(USP_USAGE, "no safety net is mapped in %s (%d)", target->name, target->pid);
	struct usp_error *error = net_get(target, area->data, ret, sizeof(*ret));
	if (error)
		return error;
	if (ret->magic != NET_MAGIC)
		return net_damaged(target, "its mark");
	if (ret->sites_capacity > NET_SITES_MAX || ret->n_late > ret->sites_capacity ||
	    ret->sites + ret->sites_capacity * sizeof(struct net_site) < ret->sites)
		return net_damaged(target, "its table");
	if (ret->n_sites && ret->n_sites != ret->n_late)
		return net_damaged(target, "how many sites there are");
	if (ret->n_masks > NET_MASKS_MAX)
		return net_damaged(target, "its masks");
	if (ret->n_programs > NET_PROGRAMS_MAX || ret->entry > NET_PROGRAMS_MAX ||
	    (ret->entry < NET_PROGRAMS_MAX && ret->entry >= ret->n_programs))
		return net_damaged(target, "the program's handlers");
	if (!trap_is_sound(ret))
		return net_damaged(target, "its trap");
	return NULL;
}

/* Sorted, disjoint, of lengths that there are. */
static bool sites_are_sound(const struct net_site *sites, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!sites[i].length || sites[i].length > NET_LENGTH_MAX ||
		    sites[i].address + sites[i].length < sites[i].address ||
		    (i && sites[i].address - sites[i - 1].address < sites[i - 1].length) ||
		    (i && sites[i].address <= sites[i - 1].address))
			return false;
	return true;
}

/* Another try with the same sites: whoever is late for them is still known all the time. */
static struct usp_error *table_is(const struct target *target, const struct net_data *data,
				  const struct net_site *sites, size_t n, bool *ret)
{
	*ret = false;
	if (data->n_late != n)
		return NULL;
	_cleanup_free_ struct net_site *now = malloc(n * sizeof(*now));
	if (!now)
		return &usp_error_no_memory;
	struct usp_error *error = net_get(target, data->sites, now, n * sizeof(*now));
	*ret = !error && !memcmp(now, sites, n * sizeof(*now));
	return error;
}

struct usp_error *net_arm(const struct target *target, struct remote *remote, const struct net_area *area,
			  int signal, uint8_t trap_byte, unsigned adjust, uint64_t word_address,
			  uint64_t old_word, const struct net_site *sites, size_t n)
{
	const struct net_trap *trap = net_trap(trap_byte);
	if (!trap || trap->signal != signal || trap->adjust != adjust)
		return usp_errorf(USP_USAGE,
				  "0x%02x with signal %d, %u bytes on, is no trap that usplice knows",
				  trap_byte, signal, adjust);
	if (!n || word_address % 8 || !sites_are_sound(sites, n))
		return usp_errorf(USP_USAGE, "the sites for the safety net are not sorted, or malformed");
	struct net_data data = {0};
	struct usp_error *error = net_read_data(target, area, &data);
	if (error)
		return error;
	if (data.n_sites)
		return net_busy(target);
	if (n > data.sites_capacity)
		return usp_errorf(USP_USAGE, "%zu sites, but the safety net was mapped for %lu", n,
				  (long)data.sites_capacity);
	if (data.entry < NET_PROGRAMS_MAX && data.programs[data.entry].signal != (uint64_t)signal) {
		/* A killed controller's, for another trap. */
		error = net_disarm(target, remote, area);
		if (error)
			return error;
		data.entry = NET_PROGRAMS_MAX;
	}
	bool same;
	error = table_is(target, &data, sites, n, &same);
	if (!error && !same)
		error = net_put_word(target, area, offsetof(struct net_data, n_late), 0);
	if (!error && !same)
		error = net_put(target, data.sites, sites, n * sizeof(*sites));
	if (error)
		return error;
	data.word_address = word_address;
	data.old_word = old_word;
	data.trap_byte = trap_byte;
	data.trap_adjust = adjust;
	data.trap_number = trap->number;
	data.signal = (uint64_t)signal;
	error = net_put(target, area->data + offsetof(struct net_data, word_address), &data.word_address,
			offsetof(struct net_data, sites) - offsetof(struct net_data, word_address));
	if (!error)
		error = net_put_word(target, area, offsetof(struct net_data, n_late), n);
	return error ? error : net_install(target, remote, area, &data, signal);
}

struct usp_error *net_publish(const struct target *target, const struct net_area *area)
{
	struct net_data data = {0};
	static const struct net_retried none[NET_RETRIED];
	struct usp_error *error = net_read_data(target, area, &data);
	if (error)
		return error;
	if (!data.n_late || data.entry == NET_PROGRAMS_MAX)
		return usp_errorf(USP_WRONG_STATE, "the safety net in %s (%d) is not armed", target->name,
				  target->pid);
	error = net_put(target, area->code + NET_STATE_OFFSET + offsetof(struct net_state, retried), none,
			sizeof(none));
	return error ? error : net_put_word(target, area, offsetof(struct net_data, n_sites), data.n_late);
}

struct usp_error *net_retire(const struct target *target, const struct net_area *area)
{
	return net_put_word(target, area, offsetof(struct net_data, n_sites), 0);
}

struct usp_error *net_read(const struct target *target, const struct net_area *area, struct net_data *ret,
			   struct net_site **sites, size_t *n)
{
	*sites = NULL;
	*n = 0;
	struct usp_error *error = net_read_data(target, area, ret);
	if (error || !ret->n_sites)
		return error;
	struct net_site *v = malloc(ret->n_sites * sizeof(*v));
	if (!v)
		return &usp_error_no_memory;
	error = net_get(target, ret->sites, v, ret->n_sites * sizeof(*v));
	if (!error && !sites_are_sound(v, ret->n_sites))
		error = net_damaged(target, "its sites");
	if (error) {
		free(v);
		return error;
	}
	*sites = v;
	*n = ret->n_sites;
	return NULL;
}

struct usp_error *net_note_masks(const struct target *target, const struct net_area *area,
				 const struct net_mask *masks, size_t n)
{
	if (n > NET_MASKS_MAX)
		return usp_errorf(USP_UNSUPPORTED,
				  "%zu threads of %s (%d) block the trap's signal; %u is the most", n,
				  target->name, target->pid, NET_MASKS_MAX);
	struct usp_error *error = net_put_word(target, area, offsetof(struct net_data, n_masks), 0);
	if (!error && n)
		error = net_put(target, area->data + NET_MASKS_OFFSET, masks, n * sizeof(*masks));
	if (!error && n)
		error = net_put_word(target, area, offsetof(struct net_data, n_masks), n);
	return error;
}

struct usp_error *net_read_masks(const struct target *target, const struct net_area *area,
				 struct net_mask **masks, size_t *n)
{
	struct net_data data = {0};
	*masks = NULL;
	*n = 0;
	struct usp_error *error = net_read_data(target, area, &data);
	if (error || !data.n_masks)
		return error;
	struct net_mask *v = malloc(data.n_masks * sizeof(*v));
	if (!v)
		return &usp_error_no_memory;
	error = net_get(target, area->data + NET_MASKS_OFFSET, v, data.n_masks * sizeof(*v));
	if (error) {
		free(v);
		return error;
	}
	*masks = v;
	*n = data.n_masks;
	return NULL;
}
