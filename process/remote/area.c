/* SPDX-License-Identifier: MIT */
/*
 * What stays mapped in the target for remote work. Both parts are private mappings of a memfd, so that they
 * show by name in the maps and whatever a killed controller left half done is found and used again.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "process/remote/borrow.h"
#include "process/remote/memfd.h"

#define AREA_NAME    "usplice-area"
#define AREA_MAPPING REMOTE_MEMFD_MAPPING(AREA_NAME)
#define AREA_SIZE    (REMOTE_CODE_SIZE + REMOTE_STACK_SIZE)

_Static_assert(sizeof(AREA_NAME) <= REMOTE_SLOT_STRING_SIZE, "the name is passed in the slot");

static bool is_part(const struct mapping *m, uint64_t size, int prot)
{
	return !m->shared && m->prot == prot && m->end - m->start == size && !strcmp(m->name, AREA_MAPPING);
}

bool remote_find_area(const struct maps *maps, struct remote_area *area)
{
	*area = (struct remote_area){0};
	for (size_t i = 0; i < maps->n; i++) {
		const struct mapping *m = &maps->v[i];
		if (!area->code && is_part(m, REMOTE_CODE_SIZE, PROT_READ | PROT_EXEC))
			area->code = m->start;
		if (!area->stack && is_part(m, REMOTE_STACK_SIZE, PROT_READ | PROT_WRITE))
			area->stack = m->start;
	}
	return area->code && area->stack;
}

bool remote_area_valid(const struct maps *maps, const struct remote_area *area)
{
	const struct mapping *code = maps_find(maps, area->code), *stack = maps_find(maps, area->stack);
	return code && stack && code->start == area->code && stack->start == area->stack &&
	       is_part(code, REMOTE_CODE_SIZE, PROT_READ | PROT_EXEC) &&
	       is_part(stack, REMOTE_STACK_SIZE, PROT_READ | PROT_WRITE);
}

static struct usp_error *map_part(struct remote *remote, uint64_t fd, size_t size, int prot, uint64_t offset,
				  uint64_t *ret)
{
	if (*ret)
		return NULL;
	const uint64_t args[6] = {0, size, (uint64_t)prot, MAP_PRIVATE, fd, offset};
	int64_t address;
	struct usp_error *error = remote_syscall_ok(remote, "mmap", SYS_mmap, args, &address);
	if (!error)
		*ret = (uint64_t)address;
	return error;
}

struct usp_error *remote_area_map(struct remote *remote)
{
	const struct remote_area before = remote->area;
	const uint64_t name = remote->address + offsetof(struct remote_slot, string);
	uint64_t fd;
	int64_t result;
	if (before.code && before.stack)
		return remote_memfd_sweep(remote, AREA_NAME);
	memcpy(remote->slot.string, AREA_NAME, sizeof(AREA_NAME));
	struct usp_error *error = remote_update_slot(remote);
	if (!error)
		error = remote_memfd_open(remote, AREA_NAME, name, AREA_SIZE, &fd);
	if (error)
		return usp_error_prefix(error, "mapping usplice's area");
	error = map_part(remote, fd, REMOTE_CODE_SIZE, PROT_READ | PROT_EXEC, 0, &remote->area.code);
	if (!error)
		error = map_part(remote, fd, REMOTE_STACK_SIZE, PROT_READ | PROT_WRITE, REMOTE_CODE_SIZE,
				 &remote->area.stack);
	error = remote_memfd_close(remote, fd, error);
	if (error && !before.code && remote->area.code && remote_usable(remote)) {
		usp_error_destroy(remote_syscall(remote, SYS_munmap,
						 (const uint64_t[6]){remote->area.code, REMOTE_CODE_SIZE},
						 &result));
		remote->area.code = 0;
	}
	return usp_error_prefix(error, "mapping usplice's area");
}
