/* SPDX-License-Identifier: MIT */
/* Shared by the net*.c files, by nobody else. */
#ifndef PROCESS_NET_INTERNAL_H
#define PROCESS_NET_INTERNAL_H

#include <string.h>

#include "process/net/net.h"

#define NET_SITES_MAX (1u << 17) /* POKE_SITES_MAX */

/* The header, checked: nothing in it leads beyond what was mapped for the net. */
_must_check_ struct usp_error *net_read_data(const struct target *target, const struct net_area *area,
					     struct net_data *ret);

_must_check_ struct usp_error *net_damaged(const struct target *target, const char *what);
_must_check_ struct usp_error *net_busy(const struct target *target);

/* Write to and read from the net's mappings. */
_must_check_ struct usp_error *net_put(const struct target *target, uint64_t address, const void *bytes,
				       size_t n);
_must_check_ struct usp_error *net_get(const struct target *target, uint64_t address, void *bytes, size_t n);

/* One of the header's words. */
_must_check_ static inline struct usp_error *
net_put_word(const struct target *target, const struct net_area *area, size_t offset, uint64_t value)
{
	return net_put(target, area->data + offset, &value, sizeof(value));
}

/* handler.c: installs an entry for the program's action of the signal, and notes both. */
_must_check_ struct usp_error *net_install(const struct target *target, struct remote *remote,
					   const struct net_area *area, struct net_data *data, int signal);

#endif
