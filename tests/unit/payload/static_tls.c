// SPDX-License-Identifier: MIT
/*
 * A static program (with glibc, with musl) that gets payloads which use its thread-local variables: each is
 * laid out here, mapped, and called in two threads at once and in the first one. There is no __tls_get_addr
 * to be had and no module number; only what is known of a static program's variables. Usage: static_tls LIST
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "payload/image.h"
#include "static_tls.h"

__thread long tls_counter = 11;
__thread struct tls_pair tls_pair = {1, 2};
__thread char tls_small;
__thread long tls_big[TLS_BIG];
__thread long tls_local_1 = 3, tls_local_2;
__thread char tls_local_big[TLS_BIG] = "local";

#define DECLARE(name) long t_##name(long);
TLS_FUNCTIONS(DECLARE)
#define ENTRY(name) {"old_" #name, t_##name},
static const struct {
	const char *name;
	long (*native)(long);
} functions[] = {TLS_FUNCTIONS(ENTRY)};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))
#define ROUNDS	  1000

struct work {
	long (*functions[FUNCTIONS])(long);
	long seed;
	pthread_barrier_t *barrier;
	/* results */
	long sums[FUNCTIONS];
	long counter, pair[2], small, big[TLS_BIG], local[2];
	char local_big[TLS_BIG];
};

static void reset(void)
{
	tls_counter = 11;
	tls_pair = (struct tls_pair){1, 2};
	tls_small = 0;
	memset(tls_big, 0, sizeof(tls_big));
	tls_local_1 = 3;
	tls_local_2 = 0;
	memset(tls_local_big, 'l', sizeof(tls_local_big));
}

static void *run(void *argument)
{
	struct work *w = argument;
	reset();
	if (w->barrier)
		pthread_barrier_wait(w->barrier);
	for (long round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < FUNCTIONS; i++)
			w->sums[i] = w->sums[i] * 31 + w->functions[i]((w->seed * round) & 0xfff);
	}
	w->counter = tls_counter;
	w->pair[0] = tls_pair.a;
	w->pair[1] = tls_pair.b;
	w->small = tls_small;
	memcpy(w->big, tls_big, sizeof(tls_big));
	w->local[0] = tls_local_1;
	w->local[1] = tls_local_2;
	memcpy(w->local_big, tls_local_big, sizeof(tls_local_big));
	return NULL;
}

static bool same(const struct work *x, const struct work *y)
{
	return !memcmp(x->sums, y->sums, sizeof(x->sums)) && x->counter == y->counter &&
	       !memcmp(x->pair, y->pair, sizeof(x->pair)) && x->small == y->small &&
	       !memcmp(x->big, y->big, sizeof(x->big)) && !memcmp(x->local, y->local, sizeof(x->local)) &&
	       !memcmp(x->local_big, y->local_big, sizeof(x->local_big));
}

static struct usp_error *resolve(void *context, const struct payload_reference *reference,
				 struct payload_value *value)
{
	const struct {
		const char *name;
		const void *address;
	} variables[] = {{"tls_counter", &tls_counter},	  {"tls_pair", &tls_pair},
			 {"tls_small", &tls_small},	  {"tls_big", tls_big},
			 {"tls_local_1", &tls_local_1},	  {"tls_local_2", &tls_local_2},
			 {"tls_local_big", tls_local_big}};
	uint64_t thread_pointer;
	__asm__("mov %%fs:0, %0" : "=r"(thread_pointer));
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]) && reference->tls; i++) {
		if (strcmp(variables[i].name, reference->name))
			continue;
		int64_t tpoff = (int64_t)((uint64_t)variables[i].address - thread_pointer);
		/* The block's beginning does not matter, only that it is one. */
		*value = (struct payload_value){
			.tls_offset = (uint64_t)(tpoff + 4096), .tls_static = true, .tls_tpoff = tpoff};
		return NULL;
	}
	++*(unsigned *)context;
	return usp_errorf(USP_NOT_FOUND, "%s is not to be asked for", reference->name);
}

static uint8_t *read_file(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return NULL;
	uint8_t *data = malloc((size_t)st.st_size + 1);
	ssize_t n = data ? read(fd, data, (size_t)st.st_size) : -1;
	close(fd);
	*size = (size_t)n;
	return n == st.st_size ? data : NULL;
}

/* Maps the image and finds its functions. */
static const char *load(const struct payload *payload, struct work *w)
{
	static char message[1024];
	unsigned asked = 0;
	uint64_t size;
	struct payload_image *image = NULL;
	struct usp_error *error = payload_image_size(payload, &size);
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (error || memory == MAP_FAILED)
		return "no memory";
	error = payload_image_build(payload, (uint64_t)memory, resolve, &asked, &image);
	if (error) {
		snprintf(message, sizeof(message), "%s", error->message);
		usp_error_destroy(error);
		return message;
	}
	memcpy(memory, image->bytes, size);
	for (int i = 0; i < PAYLOAD_SEGMENTS; i++) {
		const struct payload_segment *s = &image->segments[i];
		if (s->size && mprotect(memory + s->offset, s->size, s->prot))
			return "mprotect";
	}
	for (size_t i = 0; i < FUNCTIONS; i++) {
		for (size_t k = 0; k < payload->n_functions; k++) {
			const struct payload_function *f = &payload->functions[k];
			if (!strcmp(f->name, functions[i].name))
				w->functions[i] =
					(long (*)(long))payload_image_address(payload, image, f->replacement);
		}
		if (!w->functions[i])
			return functions[i].name;
	}
	payload_image_destroy(image);
	return asked ? "asked for more than variables" : NULL;
}

/* Two threads at once, then this one: each has its own variables, and they are the ones the program means. */
static const char *compare(const struct work *loaded)
{
	pthread_t threads[2];
	pthread_barrier_t barrier;
	struct work should[3], is[3];
	pthread_barrier_init(&barrier, NULL, 2);
	for (int i = 0; i < 3; i++) {
		should[i] = (struct work){.seed = 17 + 4 * i};
		is[i] = *loaded;
		is[i].seed = should[i].seed;
		is[i].barrier = i < 2 ? &barrier : NULL;
		for (size_t k = 0; k < FUNCTIONS; k++)
			should[i].functions[k] = functions[k].native;
		run(&should[i]);
	}
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&threads[i], NULL, run, &is[i])) {
			perror("pthread_create");
			exit(1);
		}
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	run(&is[2]);
	pthread_barrier_destroy(&barrier);
	for (int i = 0; i < 3; i++) {
		if (!same(&is[i], &should[i]))
			return i < 2 ? "another thread's results differ"
				     : "the first thread's results differ";
	}
	return NULL;
}

static const char *test(const char *path)
{
	size_t size;
	uint8_t *data = read_file(path, &size);
	struct payload *payload;
	struct work work = {.seed = 0};
	if (!data)
		return "cannot be read";
	struct usp_error *error = payload_read(data, size, false, &payload);
	free(data);
	if (error)
		return error->message;
	const char *why = load(payload, &work);
	payload_destroy(payload);
	return why ? why : compare(&work);
}

int main(int argc, char **argv)
{
	FILE *list = argc > 1 ? fopen(argv[1], "re") : NULL;
	char path[4096];
	int n = 0, failed = 0;
	while (list && fscanf(list, "%4095s", path) == 1) {
		const char *why = test(path), *base = strrchr(path, '/');
		printf("%sok %d - %s\n", why ? "not " : "", ++n, base ? base + 1 : path);
		if (why)
			printf("# %s\n", why);
		failed += !!why;
	}
	if (!n)
		printf("Bail out! no objects\n");
	printf("1..%d\n", n);
	return failed || !n;
}
