// SPDX-License-Identifier: MIT
#include "process/callable.h"

#include <string.h>

struct callable {
	struct range_set avoid;
	struct stack_checker *checker;
	struct stack_image *images;
};

/* What takes the allocator's locks, in any module that defines it. */
static const char *const allocator_names[] = {
	"malloc",
	"free",
	"calloc",
	"realloc",
	"reallocarray",
	"memalign",
	"posix_memalign",
	"aligned_alloc",
	"valloc",
	"pvalloc",
	"mallinfo",
	"mallinfo2",
	"malloc_trim",
	"malloc_usable_size",
	"malloc_info",
	"mallopt",
	"fork",
	"_Fork",
	"__libc_malloc",
	"__libc_free",
	"__libc_calloc",
	"__libc_realloc",
	"__libc_memalign",
};

static bool starts_with(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* The whole module: the dynamic linker, the unwinder, an allocator that is a library of its own. */
static bool is_avoided_whole(const char *name)
{
	return starts_with(name, "ld-") || starts_with(name, "ld.so") || starts_with(name, "libgcc_s") ||
	       starts_with(name, "libjemalloc") || starts_with(name, "libtcmalloc") ||
	       starts_with(name, "libmimalloc");
}

static struct usp_error *avoid_allocator(struct module *module, struct range_set *avoid)
{
	for (size_t i = 0; i < sizeof(allocator_names) / sizeof(allocator_names[0]); i++) {
		struct symbol symbol;
		struct usp_error *error = symbol_find(module, allocator_names[i], NULL, STT_FUNC, &symbol);
		if (!error)
			error = function_ranges(module, symbol.address, symbol.size, avoid);
		if (error && error->code == USP_NOT_FOUND) {
			usp_error_destroy(error);
			error = NULL;
		}
		if (error && error->code == USP_AMBIGUOUS) {
			/* Local namesakes: rather no thread of this module's than the wrong one. */
			usp_error_destroy(error);
			error = range_set_add(avoid, module->start, module->end) < 0 ? &usp_error_no_memory
										     : NULL;
		}
		if (error)
			return error;
	}
	return NULL;
}

struct usp_error *callable_images(const struct registry *registry, struct stack_image **images, size_t *n)
{
	*n = 0;
	*images = calloc(REGISTRY_PAYLOADS_MAX, sizeof(**images));
	if (!*images)
		return &usp_error_no_memory;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (registry->records[i])
			(*images)[(*n)++] = (struct stack_image){
				.base = registry->records[i]->image_base,
				.size = registry->records[i]->image_size,
				.name = registry->records[i]->name,
			};
	return NULL;
}

struct usp_error *callable_create(const struct session *session, struct callable **ret)
{
	struct callable *callable = calloc(1, sizeof(*callable));
	if (!callable)
		return &usp_error_no_memory;
	struct usp_error *error = NULL;
	for (size_t i = 0; !error && i < session->modules->n; i++) {
		struct module *module = session->modules->v[i];
		/* A module whose symbols cannot be read may hold any allocator. */
		if (module->unusable || is_avoided_whole(module->name))
			error = range_set_add(&callable->avoid, module->start, module->end) < 0
					? &usp_error_no_memory
					: NULL;
		else
			error = avoid_allocator(module, &callable->avoid);
	}
	range_set_seal(&callable->avoid);
	size_t n = 0;
	if (!error)
		error = callable_images(session->registry, &callable->images, &n);
	if (!error)
		error = stack_checker_create(session->target, &session->maps, session->modules,
					     callable->images, n, &callable->checker);
	if (error) {
		callable_destroy(callable);
		return error;
	}
	*ret = callable;
	return NULL;
}

void callable_destroy(struct callable *callable)
{
	if (!callable)
		return;
	stack_checker_destroy(callable->checker);
	range_set_deinit(&callable->avoid);
	free(callable->images);
	free(callable);
}

bool callable_accept(void *context, const struct thread *stopped)
{
	struct callable *callable = context;
	bool avoids = false;
	struct usp_error *error = stack_walk_avoids(callable->checker, stopped, &callable->avoid, &avoids);
	if (error) {
		/* Could not find out: not this one. */
		usp_error_destroy(error);
		return false;
	}
	return avoids;
}
