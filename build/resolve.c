// SPDX-License-Identifier: MIT
#include "build/resolve.h"

#include <string.h>

#include "build/log.h"

void resolver_deinit(struct resolver *resolver)
{
	if (resolver->opened)
		libraries_close(&resolver->libraries);
	resolver->opened = false;
}

static struct usp_error *check_tls(const struct payload_reference *reference, bool tls, const char *where)
{
	if (reference->tls == tls)
		return NULL;
	return usp_errorf(USP_MISMATCH,
			  "%s is %sthread-local in %s and %s in the payload: declare it as it is there",
			  reference->name, tls ? "" : "not ", where, reference->tls ? "is" : "is not");
}

static struct usp_error *in_process(const struct resolver *resolver,
				    const struct payload_reference *reference)
{
	struct resolved resolved = {0};
	struct usp_error *error =
		symbol_resolve(resolver->against->modules, resolver->against->module, reference->name,
			       reference->file, reference->version, &resolved);
	return error ? error : check_tls(reference, resolved.type == STT_TLS, resolver->against->name);
}

/* The error is what the module said: it has the nearest names in it. */
static struct usp_error *not_found(const struct resolver *resolver, const struct payload_reference *reference,
				   struct usp_error *error)
{
	const struct libraries *libraries = &resolver->libraries;
	bool is_program = module_is_program(resolver->against->module);
	if (!*libraries->missing && is_program) {
		struct usp_error *full =
			usp_errorf(USP_NOT_FOUND, "%s%s%s", error->message,
				   *libraries->found ? "; nor is it in " : "", libraries->found);
		usp_error_destroy(error);
		return full;
	}
	build_log(resolver->options, USP_LOG_WARNING,
		  "%s is not in %s; it may be in %s%s%s: the upload will tell, and `usplice check` before it",
		  reference->name, resolver->against->name, is_program ? "" : "the program that loads it",
		  !is_program && *libraries->missing ? ", or in " : "",
		  *libraries->missing ? libraries->missing : "");
	usp_error_destroy(error);
	return NULL;
}

static struct usp_error *in_file(struct resolver *resolver, const struct payload_reference *reference)
{
	struct module *module = resolver->against->module;
	struct symbol symbol;
	struct usp_error *error = symbol_find(module, reference->name, reference->file, STT_NOTYPE, &symbol);
	if (!error)
		return check_tls(reference, symbol.type == STT_TLS, resolver->against->name);
	if (error->code == USP_AMBIGUOUS && !reference->file)
		return usp_error_prefix(error, "say which one with USPLICE_SYMBOL_IN(\"FILE.c\", %s)",
					reference->name);
	if (error->code != USP_NOT_FOUND || reference->file)
		return error;
	if (module_imports(module, reference->name)) {
		usp_error_destroy(error);
		return NULL;
	}
	if (!resolver->opened) {
		struct usp_error *failed = libraries_open(module, &resolver->libraries);
		if (failed) {
			usp_error_destroy(error);
			return failed;
		}
		resolver->opened = true;
	}
	if (libraries_export(&resolver->libraries, reference->name)) {
		usp_error_destroy(error);
		return NULL;
	}
	return not_found(resolver, reference, error);
}

struct usp_error *resolve_reference(void *context, const struct payload_reference *reference,
				    struct payload_value *value)
{
	struct resolver *resolver = context;
	bool given = reference->by_address || !strcmp(reference->name, PAYLOAD_SHADOW_SYMBOL);
	struct usp_error *error = given			       ? NULL
				  : resolver->against->modules ? in_process(resolver, reference)
							       : in_file(resolver, reference);
	if (error && reference->weak && error->code == USP_NOT_FOUND) {
		usp_error_destroy(error);
		error = NULL;
	}
	if (error)
		return error;
	*value = (struct payload_value){
		.address = resolver->address, .tls_module = 1, .tls_static = true, .tls_tpoff = -4096};
	return NULL;
}
