// A small HTTP router: patterns with parameters, middleware, and typed handlers.

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface Request {
  readonly method: Method;
  readonly path: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body?: unknown;
}

export interface Response {
  status: number;
  headers: Map<string, string>;
  body?: unknown;
}

export type Params = Readonly<Record<string, string>>;
export type Handler = (request: Request, params: Params) => Promise<Response>;
export type Middleware = (next: Handler) => Handler;

interface Route {
  readonly method: Method;
  readonly segments: readonly string[];
  readonly handler: Handler;
}

export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "HttpError";
  }
}

export function json(body: unknown, status = 200): Response {
  return { status, headers: new Map([["content-type", "application/json"]]), body };
}

export function notFound(path: string): Response {
  return json({ error: `no route for ${path}` }, 404);
}

function split(path: string): string[] {
  return path.split("/").filter((segment) => segment.length > 0);
}

function match(segments: readonly string[], path: readonly string[]): Params | null {
  const params: Record<string, string> = {};
  for (let index = 0; index < segments.length; index++) {
    const segment = segments[index];
    if (segment === "*") {
      params["*"] = path.slice(index).join("/");
      return params;
    }
    const part = path[index];
    if (part === undefined) {
      return null;
    }
    if (segment.startsWith(":")) {
      params[segment.slice(1)] = decodeURIComponent(part);
    } else if (segment !== part) {
      return null;
    }
  }
  return segments.length === path.length ? params : null;
}

export class Router {
  private readonly routes: Route[] = [];
  private readonly middleware: Middleware[] = [];

  use(middleware: Middleware): this {
    this.middleware.push(middleware);
    return this;
  }

  add(method: Method, pattern: string, handler: Handler): this {
    this.routes.push({ method, segments: split(pattern), handler });
    return this;
  }

  get(pattern: string, handler: Handler): this {
    return this.add("GET", pattern, handler);
  }

  post(pattern: string, handler: Handler): this {
    return this.add("POST", pattern, handler);
  }

  delete(pattern: string, handler: Handler): this {
    return this.add("DELETE", pattern, handler);
  }

  async handle(request: Request): Promise<Response> {
    const path = split(request.path);
    const allowed = new Set<Method>();
    for (const route of this.routes) {
      const params = match(route.segments, path);
      if (params === null) {
        continue;
      }
      if (route.method === request.method) {
        return this.run(route.handler, request, params);
      }
      allowed.add(route.method);
    }
    if (allowed.size > 0) {
      const response = json({ error: "method not allowed" }, 405);
      response.headers.set("allow", [...allowed].join(", "));
      return response;
    }
    return notFound(request.path);
  }

  private async run(handler: Handler, request: Request, params: Params): Promise<Response> {
    const wrapped = this.middleware.reduceRight((next, layer) => layer(next), handler);
    try {
      return await wrapped(request, params);
    } catch (error) {
      if (error instanceof HttpError) {
        return json({ error: error.message }, error.status);
      }
      return json({ error: "internal server error" }, 500);
    }
  }
}

export function logging(write: (line: string) => void): Middleware {
  return (next) => async (request, params) => {
    const started = performance.now();
    const response = await next(request, params);
    const elapsed = (performance.now() - started).toFixed(1);
    write(`${request.method} ${request.path} ${response.status} ${elapsed} ms`);
    return response;
  };
}

export function requireHeader(name: string): Middleware {
  return (next) => async (request, params) => {
    if (!request.headers.has(name)) {
      throw new HttpError(400, `missing header ${name}`);
    }
    return next(request, params);
  };
}
