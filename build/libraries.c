// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/libraries.h"

#include <stdio.h>
#include <string.h>

#include "process/elf/dynamic.h"

#define LIBRARIES_MAX 256

static const char *const directories[] = {
	"/usr/local/lib/x86_64-linux-gnu",
	"/lib/x86_64-linux-gnu",
	"/usr/lib/x86_64-linux-gnu",
	"/lib64",
	"/usr/lib64",
	"/usr/local/lib",
	"/lib",
	"/usr/lib",
	"/usr/lib/x86_64-linux-musl",
};

static bool has_symbol(struct module *module, const char *name, bool defined)
{
	const struct dynamic *dynamic = module->unusable ? NULL : module_dynamic(module);
	for (size_t i = 1; dynamic && i < dynamic->n_symbols; i++) {
		const Elf64_Sym *symbol = &dynamic->symbols[i];
		if ((symbol->st_shndx != SHN_UNDEF) == defined &&
		    ELF64_ST_BIND(symbol->st_info) != STB_LOCAL &&
		    !strcmp(dynamic_symbol_name(dynamic, i), name))
			return true;
	}
	return false;
}

bool module_exports(struct module *module, const char *name)
{
	return has_symbol(module, name, true);
}

bool module_imports(struct module *module, const char *name)
{
	return has_symbol(module, name, false);
}

static bool is_plain(const char *name)
{
	return *name && !strchr(name, '/') && strlen(name) < 256;
}

/* NULL: not found as an ELF file of this architecture. */
static struct module *open_in(const char *directory, size_t length, const char *name)
{
	_cleanup_free_ char *path = NULL;
	struct module *module = NULL;
	if (asprintf(&path, "%.*s/%s", (int)length, directory, name) < 0) {
		path = NULL;
		return NULL;
	}
	if (access(path, R_OK) < 0)
		return NULL;
	struct usp_error *error = module_open_file(path, &module);
	if (error) {
		usp_error_destroy(error);
		return NULL;
	}
	if (module->unusable) {
		module_close(module);
		return NULL;
	}
	return module;
}

static struct module *open_library(const char *name, const char *beside)
{
	if (!is_plain(name))
		return strlen(name) < 4096 && *name == '/' ? open_in("", 0, name + 1) : NULL;
	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++) {
		struct module *module = open_in(directories[i], strlen(directories[i]), name);
		if (module)
			return module;
	}
	const char *slash = strrchr(beside, '/');
	return slash ? open_in(beside, (size_t)(slash - beside), name) : open_in(".", 1, name);
}

/* Names seen so far, each tried once. */
struct names {
	const char *v[LIBRARIES_MAX];
	size_t n;
};

/* Queues what module needs. False: more than any program has. */
static bool queue(struct names *names, struct module *module)
{
	const struct dynamic *dynamic = module_dynamic(module);
	for (size_t i = 0; dynamic && i < dynamic->n_needed; i++) {
		bool seen = false;
		for (size_t k = 0; k < names->n && !seen; k++)
			seen = !strcmp(names->v[k], dynamic->needed[i]);
		if (seen)
			continue;
		if (names->n == LIBRARIES_MAX)
			return false;
		names->v[names->n++] = dynamic->needed[i];
	}
	return dynamic;
}

struct usp_error *libraries_open(struct module *module, struct libraries *ret)
{
	*ret = (struct libraries){.v = calloc(LIBRARIES_MAX, sizeof(*ret->v))};
	size_t size;
	FILE *found = open_memstream(&ret->found, &size), *missing = open_memstream(&ret->missing, &size);
	_cleanup_free_ struct names *names = calloc(1, sizeof(*names));
	bool fits = ret->v && found && missing && names && queue(names, module);
	/* The names grow while they are gone through: breadth first, as the dynamic linker does. */
	for (size_t i = 0; fits && i < names->n; i++) {
		struct module *library = open_library(names->v[i], module->path);
		FILE *f = library ? found : missing;
		fprintf(f, "%s%s", ftell(f) > 0 ? ", " : "", names->v[i]);
		if (library) {
			ret->v[ret->n++] = library;
			fits = queue(names, library);
		}
	}
	bool closed = found && !fclose(found);
	closed = missing && !fclose(missing) && closed;
	if (fits && closed)
		return NULL;
	bool many = names && names->n == LIBRARIES_MAX;
	libraries_close(ret);
	return many ? usp_errorf(USP_UNSUPPORTED, "%s needs more than %d libraries", module->name,
				 LIBRARIES_MAX)
		    : &usp_error_no_memory;
}

void libraries_close(struct libraries *libraries)
{
	for (size_t i = 0; i < libraries->n; i++)
		module_close(libraries->v[i]);
	free(libraries->v);
	free(libraries->found);
	free(libraries->missing);
	*libraries = (struct libraries){0};
}

bool libraries_export(const struct libraries *libraries, const char *name)
{
	for (size_t i = 0; i < libraries->n; i++) {
		if (module_exports(libraries->v[i], name))
			return true;
	}
	return false;
}
