/* SPDX-License-Identifier: MIT */
/* What static_tls.c (a static program) and static_tls_payload.c (a payload for it) share. */
#ifndef TESTS_STATIC_TLS_H
#define TESTS_STATIC_TLS_H

#define TLS_BIG 64

struct tls_pair {
	long a, b;
};

/* The program's: initialised, zeroed, of any size. */
extern __thread long tls_counter;
extern __thread struct tls_pair tls_pair;
extern __thread char tls_small;
extern __thread long tls_big[TLS_BIG];
#define TLS_LOCAL __attribute__((tls_model("local-dynamic")))
extern __thread long tls_local_1 TLS_LOCAL;
extern __thread long tls_local_2 TLS_LOCAL;
extern __thread char tls_local_big[TLS_BIG] TLS_LOCAL;

/* Each changes variables of its thread by x, and says what it found. */
#define TLS_FUNCTIONS(F) F(general) F(address) F(mixed) F(local) F(local_address)

#endif
