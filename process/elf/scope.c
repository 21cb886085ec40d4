// SPDX-License-Identifier: MIT
#include "process/elf/scope.h"

#include <errno.h>
#include <string.h>

#include "process/elf/dynamic.h"

static bool is_called(struct module *module, const char *needed)
{
	const struct dynamic *dynamic = module_dynamic(module);
	if (dynamic && dynamic->soname && strcmp(dynamic->soname, needed) == 0)
		return true;
	return strcmp(strchr(needed, '/') ? module->path : module->name, needed) == 0;
}

/* Marks module and, through DT_NEEDED, all that it leads to among the first n. */
static int mark_needed(const struct modules *modules, size_t n, struct module *module, bool *marked)
{
	_cleanup_free_ size_t *queue = calloc(n + 1, sizeof(*queue));
	size_t first = 0, last = 0;
	if (!queue)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (modules->v[i] == module) {
			marked[i] = true;
			queue[last++] = i;
		}
	while (first < last) {
		const struct dynamic *dynamic = module_dynamic(modules->v[queue[first++]]);
		if (!dynamic)
			return -ENOMEM;
		for (size_t j = 0; j < dynamic->n_needed; j++)
			for (size_t i = 0; i < n; i++)
				if (!marked[i] && is_called(modules->v[i], dynamic->needed[j])) {
					marked[i] = true;
					queue[last++] = i;
				}
	}
	return 0;
}

static bool is_linked(const struct modules *modules, const struct module *module)
{
	for (size_t i = 0; i < modules->n_linked; i++)
		if (modules->v[i] == module)
			return true;
	return false;
}

/* The vdso is not looked into by name. */
static bool is_library(const struct module *module)
{
	return module->fd >= 0 || module->unusable;
}

static void take(const struct modules *modules, const bool *marked, bool *taken, size_t from, size_t to,
		 struct scope *scope)
{
	for (size_t i = from; i < to; i++)
		if (!taken[i] && (!marked || marked[i]) && is_library(modules->v[i])) {
			taken[i] = true;
			scope->v[scope->n++] = modules->v[i];
		}
}

int scope_init(const struct modules *modules, struct module *from, struct scope *ret)
{
	size_t n = modules->n, linked = modules->n_linked, startup = 0;
	_cleanup_free_ bool *marked = calloc(2 * n + 1, sizeof(*marked));
	*ret = (struct scope){.v = calloc(n + 1, sizeof(*ret->v))};
	if (!marked || !ret->v) {
		scope_deinit(ret);
		return -ENOMEM;
	}
	bool *taken = marked + n;
	/* A module of another namespace (dlmopen) sees none of the link map that was read. */
	if (linked && from && !is_linked(modules, from)) {
		take(modules, NULL, taken, linked, n, ret);
		return 0;
	}
	if (linked) {
		if (mark_needed(modules, linked, modules->v[0], marked) < 0)
			goto out_of_memory;
		/* Preloaded libraries stand before those that the executable needs, so a prefix it is. */
		for (size_t i = 0; i < linked; i++)
			if (marked[i])
				startup = i + 1;
		take(modules, NULL, taken, 0, startup, ret);
		memset(marked, 0, n);
		if (from && mark_needed(modules, linked, from, marked) < 0)
			goto out_of_memory;
		take(modules, marked, taken, startup, linked, ret);
		ret->n_certain = ret->n;
	}
	take(modules, NULL, taken, 0, linked ? linked : n, ret);
	return 0;
out_of_memory:
	scope_deinit(ret);
	return -ENOMEM;
}

void scope_deinit(struct scope *scope)
{
	free(scope->v);
	*scope = (struct scope){0};
}
