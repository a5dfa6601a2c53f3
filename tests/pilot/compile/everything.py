"""A world with every field of the rules that is compiled, for Envoy to judge."""

from tests.pilot.compile.world import WEATHER

SERVICES = (
    WEATHER
    + """
- name: db
  namespace: weather
  addresses: [10.1.0.3]
  ports: [{number: 3306, name: mysql}, {number: 5432, name: tcp-pg}, {number: 53, name: udp-dns}]
  instances: [{address: 10.0.0.4}]
- name: guess
  namespace: weather
  addresses: [10.1.0.4, 10.1.0.14]
  ports: [{number: 9000, name: ''}]
  instances: [{address: 10.0.0.5, ports: {9000: 9001}}]
- name: stream
  namespace: weather
  addresses: [10.1.0.5]
  ports: [{number: 7070, name: grpc}, {number: 7443, name: tls-x}]
  instances: [{address: 10.0.0.6}, {address: 10.0.0.7, healthy: false}]
- name: head
  namespace: weather
  ports: [{number: 3002, name: http}, {number: 6000, name: tcp}, {number: 9000, name: ''}]
  instances: [{address: 10.0.0.8}]
- name: own
  namespace: weather
  addresses: [10.1.0.6]
  ports: [{number: 15021, name: http}, {number: 15090, name: ''}, {number: 15001, name: http}]
  instances: [{address: 10.0.0.1}]
"""
)

RULES = """
kind: VirtualService
metadata: {name: forecast}
spec:
  hosts: [forecast, nowhere.example.com]
  gateways: [mesh, edge]
  http:
    - name: full
      match:
        - name: first
          uri: {prefix: /api/}
          ignoreUriCase: true
          scheme: {exact: http}
          method: {regex: "GET|POST"}
          authority: {prefix: fore}
          headers: {end-user: {exact: tester}, x-any: {}, x-re: {regex: "a.*"}, x-pre: {prefix: b}}
          withoutHeaders: {x-none: {}, x-other: {exact: c}}
          queryParams: {q: {exact: "1"}, r: {regex: ".*"}, s: {prefix: t}}
          statPrefix: full
        - uri: {regex: "/v[0-9]+/.*"}
        - uri: {exact: /exact}
          port: 3002
          sourceLabels: {app: frontend}
      route:
        - destination: {host: forecast, subset: v1}
          weight: 90
          headers:
            request: {set: {x-to: v1, ":authority": v1.example.com}, add: {x-more: "1"}, remove: [x-gone]}
            response: {set: {x-from: v1}, add: {x-more: "1"}, remove: [server]}
        - destination: {host: forecast, subset: v2, port: {number: 3002}}
          weight: 9
        - destination: {host: forecast, subset: v3}
          weight: 1
        - destination: {host: stream}
          weight: 0
      rewrite: {uri: /, authority: rewritten.example.com}
      timeout: 2.5s
      retries:
        attempts: 3
        perTryTimeout: 500ms
        retryOn: "5xx,503,connect-failure"
        retryRemoteLocalities: true
        backoff: 10ms
      fault:
        delay: {fixedDelay: 1s, percentage: {value: 0.05}}
        abort: {httpStatus: 418, percentage: {value: 33.333}}
      mirrors:
        - destination: {host: forecast, subset: v2}
          percentage: {value: 12.5}
      corsPolicy:
        allowOrigins: [{exact: "https://a.example"}, {regex: "https://.*"}]
        allowMethods: [GET, POST]
        allowHeaders: [x-one]
        exposeHeaders: [x-two]
        maxAge: 24h
        allowCredentials: true
        unmatchedPreflights: IGNORE
      headers:
        request: {set: {x-all: "yes"}}
        response: {remove: [x-secret]}
    - match: [{uri: {prefix: /old}}]
      redirect: {uri: /new, authority: new.example.com, scheme: https, port: 8443, redirectCode: 308}
    - match: [{uri: {prefix: /direct}}]
      directResponse: {status: 503, body: {string: sorry}}
    - match: [{uri: {prefix: /re}}]
      rewrite: {uriRegexRewrite: {match: "^/re/([^/]+)", rewrite: '/\\1'}}
      fault: {abort: {grpcStatus: UNAVAILABLE}}
      route: [{destination: {host: forecast}}]
      mirror: {host: stream, port: {number: 7070}}
      mirrorPercentage: {value: 100}
      retries: {attempts: 0}
    - route: [{destination: {host: forecast, subset: v1}}]
---
kind: DestinationRule
metadata: {name: forecast}
spec:
  host: forecast
  trafficPolicy:
    loadBalancer:
      simple: ROUND_ROBIN
      warmup: {duration: 30s, minimumPercent: 10, aggression: 2}
    connectionPool:
      tcp:
        maxConnections: 10
        connectTimeout: 1s
        maxConnectionDuration: 1h
        tcpKeepalive: {probes: 3, time: 60s, interval: 10s}
      http:
        http1MaxPendingRequests: 5
        http2MaxRequests: 6
        maxRequestsPerConnection: 7
        maxRetries: 8
        idleTimeout: 30s
        maxConcurrentStreams: 100
    outlierDetection:
      consecutive5xxErrors: 5
      consecutiveGatewayErrors: 3
      splitExternalLocalOriginErrors: true
      consecutiveLocalOriginFailures: 2
      interval: 1s
      baseEjectionTime: 3s
      maxEjectionPercent: 50
      minHealthPercent: 10
    portLevelSettings:
      - port: {number: 7070}
        loadBalancer: {simple: RANDOM}
  subsets:
    - name: v1
      labels: {version: v1}
      trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: user}}}
    - name: v2
      labels: {version: v2}
      trafficPolicy:
        loadBalancer: {consistentHash: {httpCookie: {name: c, path: /, ttl: 60s}, maglev: {tableSize: 65537}}}
        connectionPool: {http: {h2UpgradePolicy: UPGRADE}}
    - name: v3
      labels: {version: v3}
      trafficPolicy:
        loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 64}}}
        connectionPool: {http: {useClientProtocol: true}}
---
kind: DestinationRule
metadata: {name: stream}
spec:
  host: stream
  trafficPolicy:
    loadBalancer:
      consistentHash: {httpQueryParameterName: id}
      localityLbSetting:
        distribute: [{from: "pocket/*", to: {"pocket/pocket-a": 80, "pocket/pocket-b": 20}}]
  subsets: [{name: direct, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}]
---
kind: VirtualService
metadata: {name: db}
spec:
  hosts: [db]
  tcp:
    - match: [{destinationSubnets: [10.1.0.0/16], port: 3306}]
      route:
        - {destination: {host: db, port: {number: 3306}}, weight: 80}
        - {destination: {host: head}, weight: 20}
---
kind: VirtualService
metadata: {name: stream}
spec:
  hosts: [stream]
  tls:
    - match: [{port: 7443, sniHosts: [a.example.com, "*.b.example.com"]}]
      route: [{destination: {host: db, port: {number: 5432}}}]
---
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 80, name: http, protocol: HTTP}
      hosts: ["*.example.com", "weather/forecast.weather.svc.cluster.local"]
    - port: {number: 8081, name: redirect, protocol: HTTP}
      hosts: ["*"]
      tls: {httpsRedirect: true}
    - port: {number: 31400, name: tcp, protocol: TCP}
      hosts: ["*"]
    - port: {number: 443, name: tls, protocol: TLS}
      hosts: ["*"]
      tls: {mode: PASSTHROUGH}
    - port: {number: 8444, name: https, protocol: HTTPS}
      hosts: [secure.example.com]
      tls: {mode: SIMPLE, credentialName: secure}
---
kind: VirtualService
metadata: {name: edge-tcp}
spec:
  hosts: ["*"]
  gateways: [edge]
  tcp:
    - match: [{port: 31400}]
      route: [{destination: {host: db, port: {number: 3306}}}]
  tls:
    - match: [{port: 443, sniHosts: ["*.example.com"]}]
      route: [{destination: {host: stream, port: {number: 7443}}}]
"""
