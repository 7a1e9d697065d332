#include "glue.h"

#include <stdlib.h>
#include <string.h>

#include <solv/evr.h>
#include <solv/pool.h>
#include <solv/pool_parserpmrichdep.h>
#include <solv/poolarch.h>
#include <solv/problems.h>
#include <solv/repo.h>
#include <solv/rules.h>
#include <solv/solver.h>
#include <solv/solverdebug.h>

struct glue_pool {
	Pool *pool;
	// A package that stands for a request's own dependencies. It is there from the start, because a
	// new one would make libsolv forget who provides what.
	Repo *requests;
	Id request;
};

int glue_new(const char *arch, glue_pool **out)
{
	glue_pool *g = calloc(1, sizeof *g);
	if (!g)
		return GLUE_NO_MEMORY;
	g->pool = pool_create();
	if (pool_setdisttype(g->pool, DISTTYPE_RPM) < 0) {
		glue_free(g);
		return GLUE_NO_RPM;
	}
	pool_setarch(g->pool, arch);
	// Excluded packages stay candidates, so that an error can say that they are excluded.
	pool_set_flag(g->pool, POOL_FLAG_WHATPROVIDESWITHDISABLED, 1);
	*out = g;
	return GLUE_OK;
}

void glue_free(glue_pool *g)
{
	if (!g)
		return;
	pool_free(g->pool);
	free(g);
}

// A dependency is encoded as its name, NUL, one byte of REL_ flags, its EVR, NUL. The flags are 0xff
// for a rich dependency. next is set behind it; the result is 0 if a rich dependency does not parse.
static Id decode_dep(Pool *pool, const char *data, const char **next)
{
	const char *name = data;
	const char *p = name + strlen(name) + 1;
	unsigned char flags = (unsigned char)*p++;
	const char *evr = p;
	*next = evr + strlen(evr) + 1;
	if (flags == 0xff)
		return pool_parserpmrichdep(pool, name);
	Id id = pool_str2id(pool, name, 1);
	if (flags)
		id = pool_rel2id(pool, id, pool_str2id(pool, evr, 1), flags, 1);
	return id;
}

// The encoding is one record after the other, each a letter and its content. 'P' begins a package:
// name, EVR and architecture, each with its NUL. The other letters add one dependency to it.
int glue_add(glue_pool *g, const char *name, int priority, int installed, const char *data, size_t size, int *first, size_t *bad)
{
	Pool *pool = g->pool;
	Repo *repo = repo_create(pool, name);
	repo->priority = priority;
	*first = pool->nsolvables;
	Solvable *s = NULL;
	for (const char *p = data, *end = data + size; p < end;) {
		const char *at = p;
		char letter = *p++;
		if (letter == 'P') {
			s = pool_id2solvable(pool, repo_add_solvable(repo));
			s->name = pool_str2id(pool, p, 1);
			p += strlen(p) + 1;
			s->evr = pool_str2id(pool, p, 1);
			p += strlen(p) + 1;
			s->arch = pool_str2id(pool, p, 1);
			p += strlen(p) + 1;
			continue;
		}
		Id id = decode_dep(pool, p, &p);
		if (!id) {
			*bad = (size_t)(at - data);
			return GLUE_BAD_DEP;
		}
		switch (letter) {
		case 'p': s->provides = repo_addid_dep(repo, s->provides, id, 0); break;
		case 'r': s->requires = repo_addid_dep(repo, s->requires, id, -SOLVABLE_PREREQMARKER); break;
		case 'R': s->requires = repo_addid_dep(repo, s->requires, id, SOLVABLE_PREREQMARKER); break;
		case 'c': s->conflicts = repo_addid_dep(repo, s->conflicts, id, 0); break;
		case 'o': s->obsoletes = repo_addid_dep(repo, s->obsoletes, id, 0); break;
		case 'e': s->recommends = repo_addid_dep(repo, s->recommends, id, 0); break;
		case 's': s->suggests = repo_addid_dep(repo, s->suggests, id, 0); break;
		case 'u': s->supplements = repo_addid_dep(repo, s->supplements, id, 0); break;
		case 'n': s->enhances = repo_addid_dep(repo, s->enhances, id, 0); break;
		}
	}
	if (installed)
		pool_set_installed(pool, repo);
	return GLUE_OK;
}

void glue_finish(glue_pool *g)
{
	Pool *pool = g->pool;
	g->requests = repo_create(pool, "request");
	g->request = repo_add_solvable(g->requests);
	Solvable *s = pool_id2solvable(pool, g->request);
	s->name = pool_str2id(pool, "(request)", 1);
	s->evr = pool_str2id(pool, "0", 1);
	s->arch = ARCH_NOARCH;
	pool_createwhatprovides(pool);
}

static void forget_request(glue_pool *g)
{
	pool_id2solvable(g->pool, g->request)->requires = 0;
	if (g->requests->idarraydata)
		g->requests->idarraysize = 1;
}

int glue_fits(glue_pool *g, int id)
{
	Solvable *s = pool_id2solvable(g->pool, id);
	return pool_arch2score(g->pool, s->arch) != 0;
}

int glue_dep(glue_pool *g, const char *data, size_t size)
{
	(void)size;
	const char *next;
	return decode_dep(g->pool, data, &next);
}

static int hand_out(Queue *q, int **out)
{
	int n = q->count;
	*out = NULL;
	if (n > 0) {
		*out = malloc(sizeof(int) * (size_t)n);
		if (*out)
			memcpy(*out, q->elements, sizeof(int) * (size_t)n);
		else
			n = 0;
	}
	queue_free(q);
	return n;
}

int glue_providers(glue_pool *g, int dep, int **out)
{
	Pool *pool = g->pool;
	Queue q;
	queue_init(&q);
	Id p, pp;
	FOR_PROVIDES(p, pp, dep)
		if (p != SYSTEMSOLVABLE)
			queue_push(&q, p);
	return hand_out(&q, out);
}

int glue_obsoleters(glue_pool *g, const int *ids, size_t n, int **out)
{
	Pool *pool = g->pool;
	Queue q;
	queue_init(&q);
	Id p;
	FOR_POOL_SOLVABLES(p) {
		Solvable *s = pool_id2solvable(pool, p);
		if (!s->obsoletes || !s->repo)
			continue;
		int found = 0;
		for (Id *dep = s->repo->idarraydata + s->obsoletes; *dep && !found; dep++)
			for (size_t i = 0; i < n && !found; i++)
				found = pool_match_nevr(pool, pool_id2solvable(pool, ids[i]), *dep);
		if (found)
			queue_push(&q, p);
	}
	return hand_out(&q, out);
}

const char *glue_text(glue_pool *g, int dep)
{
	return pool_dep2str(g->pool, dep);
}

static void explain(Solver *solv, glue_result *out)
{
	Queue rules, infos;
	queue_init(&rules);
	queue_init(&infos);
	int room = 0, problems = (int)solver_problem_count(solv);
	for (Id problem = 1; problem <= problems; problem++) {
		solver_findallproblemrules(solv, problem, &rules);
		for (int i = 0; i < rules.count; i++) {
			Id rid = rules.elements[i];
			queue_empty(&infos);
			int class = solver_ruleclass(solv, rid);
			int job = -1;
			if (class == SOLVER_RULE_PKG) {
				solver_allruleinfos(solv, rid, &infos);
			} else {
				Id from, to, dep;
				int kind = solver_ruleinfo(solv, rid, &from, &to, &dep);
				queue_push2(&infos, kind, from);
				queue_push2(&infos, to, dep);
				if (class == SOLVER_RULE_JOB)
					job = solver_rule2jobidx(solv, rid) - 1;
			}
			for (int j = 0; j + 3 < infos.count; j += 4) {
				if (out->count == room) {
					int more = room ? room * 2 : 64;
					glue_info *grown = realloc(out->infos, sizeof(glue_info) * (size_t)more);
					if (!grown)
						goto done;
					out->infos = grown;
					room = more;
				}
				Id *e = infos.elements + j;
				glue_info info = {problem, e[0], e[1], e[2], e[3], job / 2};
				if (job < 0)
					info.job = -1;
				out->infos[out->count++] = info;
			}
		}
	}
done:
	queue_free(&rules);
	queue_free(&infos);
}

int glue_solve(glue_pool *g, const glue_request *r, glue_result *out)
{
	Pool *pool = g->pool;
	int status = GLUE_OK;
	memset(out, 0, sizeof *out);
	Queue job, candidates;
	queue_init(&job);
	queue_init(&candidates);
	for (size_t i = 0; i < r->njobs;) {
		int n = r->jobs[i++];
		if (n == 1) {
			queue_push2(&job, SOLVER_INSTALL | SOLVER_SOLVABLE, r->jobs[i]);
		} else {
			queue_empty(&candidates);
			for (int j = 0; j < n; j++)
				queue_push(&candidates, r->jobs[i + (size_t)j]);
			queue_push2(&job, SOLVER_INSTALL | SOLVER_SOLVABLE_ONE_OF, pool_queuetowhatprovides(pool, &candidates));
		}
		i += (size_t)n;
	}
	if (r->nneeds) {
		out->request = g->request;
		Solvable *s = pool_id2solvable(pool, g->request);
		for (const char *p = r->needs, *end = p + r->nneeds; p < end;) {
			Id id = decode_dep(pool, p, &p);
			if (!id) {
				status = GLUE_BAD_DEP;
				goto done;
			}
			s->requires = repo_addid(g->requests, s->requires, id);
		}
		queue_push2(&job, SOLVER_INSTALL | SOLVER_SOLVABLE, g->request);
	}
	if (r->nexcluded) {
		pool->considered = calloc(1, sizeof(Map));
		if (!pool->considered) {
			status = GLUE_NO_MEMORY;
			goto done;
		}
		map_init(pool->considered, pool->nsolvables);
		map_setall(pool->considered);
		for (size_t i = 0; i < r->nexcluded; i++)
			MAPCLR(pool->considered, r->excluded[i]);
	}
	Solver *solv = solver_create(pool);
	solver_set_flag(solv, SOLVER_FLAG_ALLOW_VENDORCHANGE, 1);
	solver_set_flag(solv, SOLVER_FLAG_DUP_ALLOW_VENDORCHANGE, 1);
	solver_set_flag(solv, SOLVER_FLAG_KEEP_ORPHANS, 1);
	solver_set_flag(solv, SOLVER_FLAG_BEST_OBEY_POLICY, 1);
	solver_set_flag(solv, SOLVER_FLAG_YUM_OBSOLETES, 1);
	solver_set_flag(solv, SOLVER_FLAG_URPM_REORDER, 1);
	solver_set_flag(solv, SOLVER_FLAG_IGNORE_RECOMMENDED, !r->weak);
	if (solver_solve(solv, &job) == 0) {
		Queue decisions, found;
		queue_init(&decisions);
		queue_init(&found);
		solver_get_decisionqueue(solv, &decisions);
		for (int i = 0; i < decisions.count; i++) {
			Id p = decisions.elements[i];
			if (p <= SYSTEMSOLVABLE || p == out->request)
				continue;
			if (pool->installed && pool_id2solvable(pool, p)->repo == pool->installed)
				continue;
			queue_push(&found, p);
		}
		queue_free(&decisions);
		out->solved = 1;
		int want = found.count;
		out->count = hand_out(&found, &out->ids);
		if (out->count != want)
			status = GLUE_NO_MEMORY;
	} else {
		explain(solv, out);
	}
	solver_free(solv);
done:
	if (pool->considered) {
		map_free(pool->considered);
		free(pool->considered);
		pool->considered = NULL;
	}
	forget_request(g);
	queue_free(&job);
	queue_free(&candidates);
	return status;
}

int glue_evrcmp(glue_pool *g, const char *a, const char *b)
{
	return pool_evrcmp_str(g->pool, a, b, EVRCMP_COMPARE);
}
