// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "place.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"

struct target_state target_state_initial = {3, {1, 2, 3, 4, 5, 6, 7, 8, 9}, "redis-server", 1.25, NULL};
struct target_state target_state;
const char *target_words[4] = {"a", "bc", "def", "ghij"};
__thread long target_tls;
__thread long target_tls_ie;
__thread long target_tls_ld, target_tls_ld2;
__thread long target_tls_le;

long target_add(long a, long b)
{
	return a + b;
}
double target_scale(double x)
{
	return x * 1.25;
}
long target_apply(long (*function)(long), long x)
{
	return function(x) + 1;
}

void target_reset(void)
{
	target_state = target_state_initial;
	target_tls = 1;
	target_tls_ie = 2;
	target_tls_ld = 3;
	target_tls_ld2 = 4;
	target_tls_le = 5;
}

static void need(int condition, const char *what)
{
	if (condition)
		return;
	perror(what);
	abort();
}

void *read_file(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	need(fd >= 0 && !fstat(fd, &st), path);
	uint8_t *data = malloc((size_t)st.st_size + 1);
	*size = 0;
	while (*size < (size_t)st.st_size) {
		ssize_t n = read(fd, data + *size, (size_t)st.st_size - *size);
		need(n > 0, path);
		*size += (size_t)n;
	}
	close(fd);
	return data;
}

/* A free range that begins at or after an address. */
static void *map_from(uint64_t from, size_t size)
{
	for (uint64_t at = from; at < from + (1ull << 30); at += 1 << 20) {
		void *p = mmap((void *)at, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p != MAP_FAILED)
			return p;
	}
	need(0, "no free range");
	return NULL;
}

static const uint64_t arena_bases[PLACE_KINDS] = {0x20000000, 0x200000000000, 0x200000000000};
static const uint64_t image_bases[PLACE_KINDS] = {0x30000000, 0x200010000000, 0x300000000000};

void place_init(struct place *place, enum place_kind kind)
{
	*place = (struct place){.kind = kind};
	place->arena = map_from(arena_bases[kind], 8192);
	place->arena->state = target_state_initial;
	memcpy(place->arena->words, target_words, sizeof(target_words));
	void *const functions[] = {(void *)target_add, (void *)target_scale, (void *)target_apply};
	for (size_t i = 0; i < 3; i++) {
		uint8_t *stub = place->arena->stubs[i]; /* movabs $function,%r11; jmp *%r11 */
		memcpy(stub, "\x49\xbb", 2);
		memcpy(stub + 2, &functions[i], 8);
		memcpy(stub + 10, "\x41\xff\xe3", 3);
	}
	need(!mprotect(place->arena, 8192, PROT_READ | PROT_WRITE | PROT_EXEC), "mprotect");
}

void place_deinit(struct place *place)
{
	if (place->mapped)
		munmap((void *)place->image->base, place->image->size);
	payload_image_destroy(place->image);
	payload_destroy(place->payload);
	munmap(place->arena, 8192);
}

struct tls_search {
	const char *address;
	struct payload_value *value;
};

static int find_tls(struct dl_phdr_info *info, size_t size, void *context)
{
	struct tls_search *search = context;
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const char *start = info->dlpi_tls_data;
		if (info->dlpi_phdr[i].p_type != PT_TLS || !start || search->address < start ||
		    search->address >= start + info->dlpi_phdr[i].p_memsz)
			continue;
		search->value->tls_module = info->dlpi_tls_modid;
		search->value->tls_offset = (uint64_t)(search->address - start);
		return 1;
	}
	return 0;
}

static void tls_value(const void *address, bool late, struct payload_value *value)
{
	uint64_t thread_pointer;
	__asm__("mov %%fs:0, %0" : "=r"(thread_pointer));
	struct tls_search search = {address, value};
	need(dl_iterate_phdr(find_tls, &search), "thread-local variable");
	if (late)
		return;
	value->tls_static = true;
	value->tls_tpoff = (int64_t)((uint64_t)address - thread_pointer);
}

const struct place_symbol *place_symbols;

static struct usp_error *resolve(void *context, const struct payload_reference *reference,
				 struct payload_value *value)
{
	struct place *place = context;
	const struct {
		const char *name;
		const void *address;
	} known[] = {{"target_state", &place->arena->state},
		     {"target_words", place->arena->words},
		     {"target_add", place->arena->stubs[0]},
		     {"target_scale", place->arena->stubs[1]},
		     {"target_apply", place->arena->stubs[2]}};
	const struct {
		const char *name;
		const void *address;
		bool may_be_late;
	} variables[] = {{"target_tls", &target_tls, true},
			 {"target_tls_ie", &target_tls_ie, false},
			 {"target_tls_ld", &target_tls_ld, true},
			 {"target_tls_ld2", &target_tls_ld2, true},
			 {"target_tls_le", &target_tls_le, false}};
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		if (strcmp(variables[i].name, reference->name))
			continue;
		need(reference->tls, "asked as thread-local");
		tls_value(variables[i].address, place->late_tls && variables[i].may_be_late, value);
		return NULL;
	}
	need(!reference->tls, "asked as not thread-local");
	if (!strcmp(reference->name, "__tls_get_addr"))
		place->asked_tls_call = true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(known[i].name, reference->name)) {
			value->address = (uint64_t)known[i].address;
			return NULL;
		}
	}
	for (const struct place_symbol *s = place_symbols; s && s->name; s++) {
		if (!strcmp(s->name, reference->name)) {
			value->address = (uint64_t)s->address;
			return NULL;
		}
	}
	value->address = (uint64_t)dlsym(RTLD_DEFAULT, reference->name);
	if (!value->address && !reference->weak)
		return usp_errorf(USP_NOT_FOUND, "%s is nowhere", reference->name);
	return NULL;
}

struct usp_error *place_load(struct place *place, const char *path, bool finished)
{
	size_t size;
	uint64_t image_size;
	_cleanup_free_ void *data = read_file(path, &size);
	struct usp_error *error = payload_read(data, size, finished, &place->payload);
	if (!error)
		error = payload_image_size(place->payload, &image_size);
	if (error)
		return error;
	uint8_t *memory = map_from(image_bases[place->kind], image_size);
	error = payload_image_build(place->payload, (uint64_t)memory, resolve, place, &place->image);
	if (error) {
		munmap(memory, image_size);
		return error;
	}
	place->mapped = true;
	need(place->image->size == image_size, "size as announced");
	memcpy(memory, place->image->bytes, image_size);
	for (int i = 0; i < PAYLOAD_SEGMENTS; i++) {
		const struct payload_segment *s = &place->image->segments[i];
		need(!s->size || !mprotect(memory + s->offset, s->size, s->prot), "mprotect");
	}
	return NULL;
}

void *place_function(const struct place *place, const char *old_name)
{
	for (size_t i = 0; i < place->payload->n_functions; i++) {
		const struct payload_function *f = &place->payload->functions[i];
		if (!strcmp(f->name, old_name))
			return (void *)payload_image_address(place->payload, place->image, f->replacement);
	}
	return NULL;
}
