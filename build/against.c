// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/against.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "process/elf/dynamic.h"

struct usp_error *against_open(const struct usp_cc_options *options, struct against *ret)
{
	*ret = (struct against){0};
	struct usp_error *error;
	if (options->target) {
		error = module_open_file(options->target, &ret->file);
		if (!error && ret->file->unusable)
			error = usp_errorf(USP_UNSUPPORTED, "%s: %s", options->target, ret->file->unusable);
		if (!error && !(ret->name = strdup(options->target)))
			error = &usp_error_no_memory;
	} else {
		error = target_open(options->pid, &ret->target);
		if (!error)
			error = maps_read(ret->target, &ret->maps);
		if (!error)
			error = modules_open(ret->target, &ret->maps, &ret->modules);
	}
	if (error)
		against_close(ret);
	return error;
}

void against_close(struct against *against)
{
	modules_close(against->modules);
	module_close(against->file);
	maps_deinit(&against->maps);
	target_close(against->target);
	free(against->name);
	*against = (struct against){0};
}

struct usp_error *against_find_function(struct module *module, const struct payload_function *function,
					struct symbol *ret)
{
	if (!function->old_address)
		return symbol_find(module, function->name, function->file, STT_FUNC, ret);
	uint64_t address = function->old_address + module->bias;
	if (!symbol_at(module, address, ret) || ret->address != address)
		return usp_errorf(USP_NOT_FOUND, "no function begins at 0x%" PRIx64 " in %s",
				  function->old_address, module->name);
	return NULL;
}

/* "libz.so.1.2.13" is meant by its file name, its soname "libz.so.1", and "libz". */
static bool is_called(struct module *module, const char *name)
{
	size_t n = strlen(name);
	if (!strcmp(module->name, name))
		return true;
	if (module->unusable)
		return false;
	const struct dynamic *dynamic = module_dynamic(module);
	if (dynamic && dynamic->soname && !strcmp(dynamic->soname, name))
		return true;
	return n && !strncmp(module->name, name, n) && !strncmp(module->name + n, ".so", 3);
}

static char *list_modules(const struct modules *modules)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	for (size_t i = 0; i < modules->n; i++)
		fprintf(f, "%s%s", i ? ", " : "", modules->v[i]->name);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static struct usp_error *choose_by_name(struct against *against, const char *name)
{
	const struct modules *modules = against->modules;
	size_t n = 0;
	/* An exact name wins over its shorter forms. */
	for (int exact = 1; exact >= 0 && !n; exact--) {
		for (size_t i = 0; i < modules->n; i++) {
			struct module *module = modules->v[i];
			if (exact ? !strcmp(module->name, name) : is_called(module, name)) {
				against->module = module;
				n++;
			}
		}
	}
	if (n == 1)
		return NULL;
	_cleanup_free_ char *list = list_modules(modules);
	if (n > 1)
		return usp_errorf(USP_AMBIGUOUS, "process %d has %zu modules called %s: %s",
				  (int)against->target->pid, n, name, list ? list : "?");
	return usp_errorf(USP_NOT_FOUND, "process %d has no module %s; it has %s", (int)against->target->pid,
			  name, list ? list : "?");
}

/* Whether module has function; anything but "it is not there" counts as having it: the trouble shows when it
 * is chosen. */
static struct usp_error *module_has(struct module *module, const struct payload_function *function, bool *has)
{
	struct symbol symbol;
	struct usp_error *error = module->unusable ? NULL : against_find_function(module, function, &symbol);
	*has = !module->unusable && !(error && error->code == USP_NOT_FOUND);
	if (error == &usp_error_no_memory)
		return error;
	usp_error_destroy(error);
	return NULL;
}

/* No module has them all. Says of the first function that is nowhere what is near; else which two are apart.
 */
static struct usp_error *refuse_none(const struct against *against, const struct payload *payload)
{
	const struct modules *modules = against->modules;
	struct module *first = NULL;
	for (size_t i = 0; i < payload->n_functions; i++) {
		struct module *home = NULL;
		for (size_t k = 0; k < modules->n && !home; k++) {
			bool has;
			struct usp_error *error = module_has(modules->v[k], &payload->functions[i], &has);
			if (error)
				return error;
			if (has)
				home = modules->v[k];
		}
		if (!home) {
			struct symbol symbol;
			struct usp_error *error =
				modules->n ? against_find_function(modules->v[0], &payload->functions[i],
								   &symbol)
					   : NULL;
			return error ? usp_error_prefix(error, "no module of process %d has the function",
							(int)against->target->pid)
				     : usp_errorf(USP_NOT_FOUND, "process %d has no modules",
						  (int)against->target->pid);
		}
		if (first && home != first)
			return usp_errorf(USP_NOT_FOUND,
					  "no one module has all functions: %s is in %s, %s in %s; a payload "
					  "patches one module: make two",
					  payload->functions[0].name, first->name, payload->functions[i].name,
					  home->name);
		first = home;
	}
	return usp_errorf(USP_NOT_FOUND,
			  "no one module of process %d has all functions; name it with --module",
			  (int)against->target->pid);
}

static struct usp_error *choose_by_functions(struct against *against, const struct payload *payload)
{
	const struct modules *modules = against->modules;
	struct module *second = NULL;
	for (size_t i = 0; i < modules->n; i++) {
		bool all = true;
		for (size_t k = 0; k < payload->n_functions && all; k++) {
			struct usp_error *error = module_has(modules->v[i], &payload->functions[k], &all);
			if (error)
				return error;
		}
		if (!all || modules->v[i]->unusable)
			continue;
		if (!against->module)
			against->module = modules->v[i];
		else if (!second)
			second = modules->v[i];
		/* Hooks alone are in no module: the executable, which is the first, is what they belong to.
		 */
		if (!payload->n_functions)
			break;
	}
	if (!against->module)
		return refuse_none(against, payload);
	if (second)
		return usp_errorf(
			USP_AMBIGUOUS,
			"both %s and %s of process %d have the payload's functions: say which with --module",
			against->module->name, second->name, (int)against->target->pid);
	return NULL;
}

struct usp_error *against_choose(struct against *against, const struct usp_cc_options *options,
				 const struct payload *payload)
{
	struct usp_error *error = NULL;
	if (against->file)
		against->module = against->file;
	else
		error = options->module ? choose_by_name(against, options->module)
					: choose_by_functions(against, payload);
	if (error)
		return error;
	struct module *module = against->module;
	if (!against->file &&
	    asprintf(&against->name, "%s of process %d", module->name, (int)against->target->pid) < 0) {
		against->name = NULL;
		return &usp_error_no_memory;
	}
	if (module->unusable)
		return usp_errorf(USP_MISMATCH, "%s cannot be used: %s", against->name, module->unusable);
	if (!module->build_id_size)
		return usp_errorf(USP_UNSUPPORTED,
				  "%s has no build-id, which is what ties a payload to the one binary it was "
				  "made for: link it with -Wl,--build-id",
				  against->name);
	return NULL;
}
