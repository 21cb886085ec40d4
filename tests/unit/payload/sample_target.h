/* SPDX-License-Identifier: MIT */
/*
 * What the samples use of "the target": data and functions that the test gives them an address for. sample.c
 * is compiled twice: into the test itself (what results should be) and into payloads (what results are).
 */
#ifndef SAMPLE_TARGET_H
#define SAMPLE_TARGET_H

struct target_state {
	long counter;
	long table[16];
	char name[32];
	double scale;
	long (*callback)(long);
};

extern struct target_state target_state;
extern const char *target_words[4];
long target_add(long a, long b);
double target_scale(double x);
long target_apply(long (*function)(long), long x);
long target_missing(long x) __attribute__((weak));
extern __thread long target_tls;
extern __thread long target_tls_ie __attribute__((tls_model("initial-exec")));
#ifdef SAMPLE_NO_LD /* gcc 12 crashes on these models under -mcmodel=large */
#define SAMPLE_TLS_MODEL(model)
#else
#define SAMPLE_TLS_MODEL(model) __attribute__((tls_model(model)))
#endif
extern __thread long target_tls_ld SAMPLE_TLS_MODEL("local-dynamic");
extern __thread long target_tls_ld2 SAMPLE_TLS_MODEL("local-dynamic");
extern __thread long target_tls_le SAMPLE_TLS_MODEL("local-exec");

#endif
