module edgestack.iot/lab/emqx

go 1.24.0

require (
	github.com/go-sql-driver/mysql v1.9.3
	github.com/gorilla/websocket v1.5.3
	github.com/mochi-mqtt/server/v2 v2.7.9
	golang.org/x/crypto v0.42.0
)

require filippo.io/edwards25519 v1.1.0 // indirect
