package main

// One MQTT connection: CONNECT and what follows. Packets are read and written with mochi-mqtt's codec;
// sessions and queues are ours, because mochi's (one outbound channel per client, no queue for
// sessions that are offline) cannot be made to lose messages the way EMQX loses them.

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// ClientInfo is what authentication and authorization see of a client.
type ClientInfo struct {
	ClientID, Username   string
	HasUsername, HasPass bool
	Password             []byte
	PeerHost             string
	PeerPort             int
	CN, DN, PEM          string
	Listener             string
	Zone                 string
	ProtoName            string
	ProtoVer             int
	Superuser            bool
	Clean                bool
	Keepalive            int
	cache                authzCache
}

// ending is why a connection is closed: the reason code for MQTT 5 and a word for the log.
type ending struct {
	code byte
	word string
}

var (
	takenOver = &ending{0x8E, "takenover"}
	kicked    = &ending{0x98, "kicked"}
	killed    = &ending{0x00, "killed"} // the process is gone: nothing is said

	shuttingDown = &ending{0x8B, "server_shutting_down"}
)

// Conn is one connection.
type Conn struct {
	b        *Broker
	nc       net.Conn
	r        *bufio.Reader
	listener *Listener
	client   *ClientInfo
	session  *Session

	version    byte
	maxPacket  uint32 // the client's limit
	receiveMax uint16
	keepalive  time.Duration
	will       *Message
	willDelay  time.Duration
	aliases    map[uint16]string
	published  int
	signal     chan struct{}
	done       chan struct{}
	once       sync.Once
	writeMu    sync.Mutex
}

var errProtocol = errors.New("protocol error")

// activeN (tcp_options.active_n): after so many packets EMQX gives others their turn. Without it a
// publisher fills a subscriber's mailbox before the subscriber gets to run at all.
const activeN = 100

func (b *Broker) serve(nc net.Conn, l *Listener) {
	c := &Conn{b: b, nc: nc, r: bufio.NewReaderSize(nc, 64<<10), listener: l,
		signal: make(chan struct{}, 1), done: make(chan struct{})}
	defer func() { _ = nc.Close() }()
	idle := b.cfg.Duration("mqtt.idle_timeout", 15*time.Second)
	if idle > 0 {
		_ = nc.SetDeadline(time.Now().Add(idle))
	}
	if t, ok := nc.(*tls.Conn); ok {
		if err := t.Handshake(); err != nil {
			logf("debug", "listener: %s, peer: %s, msg: tls_handshake_failed, reason: %v", l.ID, nc.RemoteAddr(), err)
			return
		}
	}
	pk, err := c.read()
	if err != nil || pk.FixedHeader.Type != packets.Connect {
		return
	}
	b.m.Add("packets.connect.received", 1)
	b.m.Add("client.connect", 1)
	if !c.connect(pk, idle) {
		return
	}
	_ = nc.SetDeadline(time.Time{})
	go c.writer()
	c.wake()
	err = c.loop()
	c.stop()
	b.m.Add("client.disconnected", 1)
	b.lost(c, !errors.Is(err, errGoodbye)) // an end without DISCONNECT sends the will
	logf("debug", "clientid: %s, msg: disconnected, reason: %v", c.client.ClientID, err)
}

// read takes one packet off the wire.
func (c *Conn) read() (*packets.Packet, error) {
	first, err := c.r.ReadByte()
	if err != nil {
		return nil, err
	}
	pk := &packets.Packet{ProtocolVersion: c.version}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return nil, err
	}
	n, bu, err := packets.DecodeLength(c.r)
	if err != nil {
		return nil, err
	}
	pk.FixedHeader.Remaining = n
	if limit := c.b.cfg.Bytes("mqtt.max_packet_size", 1<<20); n > limit {
		c.disconnect(0x95)
		return nil, fmt.Errorf("frame_too_large")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return nil, err
	}
	c.b.m.Add("packets.received", 1)
	c.b.m.Add("bytes.received", int64(1+bu+n))
	if s := c.session; s != nil {
		s.mu.Lock()
		s.n.RecvPkt++
		s.n.RecvCnt++
		s.n.RecvOct += int64(1 + bu + n)
		s.mu.Unlock()
	}
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Pubrec:
		err = pk.PubrecDecode(body)
	case packets.Pubrel:
		err = pk.PubrelDecode(body)
	case packets.Pubcomp:
		err = pk.PubcompDecode(body)
	case packets.Subscribe:
		err = pk.SubscribeDecode(body)
	case packets.Unsubscribe:
		err = pk.UnsubscribeDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	case packets.Pingreq:
	default:
		err = errProtocol
	}
	return pk, err
}

// v3Connack maps reason codes to MQTT 3.1.1's return codes.
func v3Connack(code byte) byte {
	switch code {
	case 0:
		return 0
	case 0x84, 0x82, 0x81:
		return 1
	case 0x85:
		return 2
	case 0x86:
		return 4
	case 0x87, 0x8A, 0x8C:
		return 5
	}
	return 3
}

func (c *Conn) refuse(code byte, why string) bool {
	logf("warning", "clientid: %s, username: %s, peer: %s, msg: connection_refused, reason: %s", c.client.ClientID, c.client.Username, c.nc.RemoteAddr(), why)
	if code == 0x86 || code == 0x87 {
		c.b.m.Add("packets.connack.auth_error", 1)
	}
	c.b.m.Add("packets.connack.error", 1)
	c.connack(code, false, packets.Properties{})
	return false
}

func (c *Conn) connack(code byte, present bool, props packets.Properties) {
	if c.version != 5 {
		code = v3Connack(code)
	}
	var buf bytes.Buffer
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ProtocolVersion: c.version,
		ReasonCode: code, SessionPresent: present && code == 0, Properties: props}
	if pk.ConnackEncode(&buf) == nil {
		c.b.m.Add("packets.connack.sent", 1)
		c.b.m.Add("client.connack", 1)
		c.write(buf.Bytes())
	}
}

// connect judges the CONNECT packet and opens the session.
func (c *Conn) connect(pk *packets.Packet, idle time.Duration) bool {
	cfg := c.b.cfg
	c.version = pk.ProtocolVersion
	in := &pk.Connect
	host, port := splitAddr(c.nc.RemoteAddr())
	c.client = &ClientInfo{
		ClientID: in.ClientIdentifier, Username: string(in.Username), HasUsername: in.UsernameFlag,
		Password: in.Password, HasPass: in.PasswordFlag, PeerHost: host, PeerPort: port,
		Listener: c.listener.ID, Zone: "default", ProtoName: string(in.ProtocolName), ProtoVer: int(c.version),
		Clean: in.Clean, Keepalive: int(in.Keepalive),
	}
	if code := pk.ConnectValidate(); code.Code != 0 && code != packets.ErrProtocolViolationFlagNoPassword &&
		code != packets.ErrProtocolViolationWillFlagNoPayload {
		return c.refuse(code.Code, code.Reason)
	}
	c.identify()
	info := c.client
	var props packets.Properties
	if info.ClientID == "" {
		if c.version != 5 && !in.Clean {
			return c.refuse(0x85, "client identifier not valid")
		}
		info.ClientID = randomID()
		props.AssignedClientID = info.ClientID
	}
	if len(info.ClientID) > cfg.Int("mqtt.max_clientid_len", 65535) {
		return c.refuse(0x85, "client identifier too long")
	}
	if in.WillFlag && !validTopicName(in.WillTopic) {
		return c.refuse(0x90, "bad will topic")
	}
	if c.b.store.Banned(info) {
		return c.refuse(0x8A, "banned")
	}
	if c.listener.authn() {
		started := time.Now()
		verdict := c.b.auth.Authenticate(info)
		for verdict.stalled {
			// the database does not answer: EMQX says nothing either, and the client's patience or
			// idle_timeout ends the wait
			if idle > 0 && time.Since(started) > idle {
				logf("warning", "clientid: %s, msg: authentication_timed_out", info.ClientID)
				return false
			}
			verdict = c.b.auth.Authenticate(info)
		}
		c.b.m.Add("client.authenticate", 1)
		if verdict.code != 0 {
			c.b.m.Add("authentication.failure", 1)
			return c.refuse(verdict.code, verdict.why)
		}
		info.Superuser = verdict.superuser
		c.b.m.Add("authentication.success", 1)
		if verdict.anonymous {
			c.b.m.Add("authentication.success.anonymous", 1)
			c.b.m.Add("client.auth.anonymous", 1)
		}
	}
	info.Password = nil

	expiry := time.Duration(0)
	if c.version == 5 {
		if n := pk.Properties.SessionExpiryInterval; n == 0xFFFFFFFF {
			expiry = -1
		} else {
			expiry = time.Duration(n) * time.Second
		}
		c.maxPacket = pk.Properties.MaximumPacketSize
		c.receiveMax = pk.Properties.ReceiveMaximum
		props.ReceiveMaximum = uint16(cfg.Int("mqtt.max_inflight", 32))
		props.TopicAliasMaximum = uint16(cfg.Int("mqtt.max_topic_alias", 65535))
		props.MaximumPacketSize = uint32(cfg.Bytes("mqtt.max_packet_size", 1<<20))
		props.SessionExpiryInterval, props.SessionExpiryIntervalFlag = pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag
		c.aliases = map[uint16]string{}
	} else if !in.Clean {
		expiry = cfg.Duration("mqtt.session_expiry_interval", 2*time.Hour)
	}
	c.keepalive = time.Duration(float64(in.Keepalive)*1.5*1000) * time.Millisecond
	if in.WillFlag {
		c.will = &Message{ID: c.b.newID(), Topic: in.WillTopic, Payload: in.WillPayload, Qos: in.WillQos,
			Retain: in.WillRetain, From: info.ClientID, FromUser: info.Username, At: time.Now()}
		c.will.Props = forwarded(in.WillProperties)
		c.willDelay = time.Duration(in.WillProperties.WillDelayInterval) * time.Second
	}
	s, present := c.b.open(c, in.Clean, expiry)
	c.connack(0, present, props)
	c.b.m.Add("client.connected", 1)
	logf("info", "clientid: %s, username: %s, peer: %s, listener: %s, msg: connected", info.ClientID, info.Username, c.nc.RemoteAddr(), c.listener.ID)
	if present {
		s.mu.Lock()
		if s.conn == c {
			s.resume()
		}
		s.mu.Unlock()
	}
	return true
}

// identify applies what mqtt.* says about user names and client ids. Without a certificate they stay.
func (c *Conn) identify() {
	cfg, info := c.b.cfg, c.client
	if t, ok := c.nc.(*tls.Conn); ok {
		if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
			cert := certs[0]
			info.CN, info.DN = cert.Subject.CommonName, cert.Subject.String()
			info.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
			if v := certField(cfg.Str("mqtt.peer_cert_as_username", "disabled"), cert, info); v != "" {
				info.Username, info.HasUsername = v, true
			}
			if v := certField(cfg.Str("mqtt.peer_cert_as_clientid", "disabled"), cert, info); v != "" {
				info.ClientID = v
			}
		}
	}
	if cfg.Bool("mqtt.use_username_as_clientid", false) && info.HasUsername && info.Username != "" {
		info.ClientID = info.Username
	}
}

func certField(kind string, cert *x509.Certificate, info *ClientInfo) string {
	switch kind {
	case "cn":
		return info.CN
	case "dn":
		return info.DN
	case "crt":
		return string(cert.Raw)
	case "pem":
		return info.PEM
	case "md5":
		sum := md5.Sum(cert.Raw)
		return hex.EncodeToString(sum[:])
	}
	return ""
}

func splitAddr(a net.Addr) (string, int) {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.IP.String(), t.Port
	}
	host, port, _ := net.SplitHostPort(a.String())
	return host, asInt(port, 0)
}

func randomID() string {
	var raw [9]byte
	_, _ = rand.Read(raw[:])
	return "emqx_" + hex.EncodeToString(raw[:])
}

// forwarded keeps the properties of a message that go on to the subscribers.
func forwarded(p packets.Properties) packets.Properties {
	return packets.Properties{CorrelationData: p.CorrelationData, User: p.User, ContentType: p.ContentType,
		ResponseTopic: p.ResponseTopic, PayloadFormat: p.PayloadFormat, PayloadFormatFlag: p.PayloadFormatFlag}
}

var errGoodbye = errors.New("normal")

func (c *Conn) loop() error {
	for {
		if c.keepalive > 0 {
			_ = c.nc.SetReadDeadline(time.Now().Add(c.keepalive))
		}
		pk, err := c.read()
		if err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				c.disconnect(0x8D)
				return errors.New("keepalive_timeout")
			}
			return err
		}
		if err := c.handle(pk); err != nil {
			return err
		}
	}
}

func (c *Conn) handle(pk *packets.Packet) error {
	s := c.session
	switch pk.FixedHeader.Type {
	case packets.Publish:
		return c.publish(pk)
	case packets.Puback:
		c.b.m.Add("packets.puback.received", 1)
		c.locked(func() {
			if !s.acked(pk.PacketID, 1) {
				c.b.m.Add("packets.puback.missed", 1)
			}
		})
	case packets.Pubrec:
		c.b.m.Add("packets.pubrec.received", 1)
		c.locked(func() {
			code := byte(0)
			if !s.received(pk.PacketID) {
				code = 0x92
				c.b.m.Add("packets.pubrec.missed", 1)
			} else if pk.ReasonCode >= 0x80 {
				s.land(s.window[pk.PacketID])
				s.refill()
				return
			}
			c.answer(packets.Pubrel, pk.PacketID, code)
		})
	case packets.Pubrel:
		c.b.m.Add("packets.pubrel.received", 1)
		c.locked(func() {
			code := byte(0)
			if _, ok := s.awaiting[pk.PacketID]; !ok {
				code = 0x92
				c.b.m.Add("packets.pubrel.missed", 1)
			}
			delete(s.awaiting, pk.PacketID)
			c.answer(packets.Pubcomp, pk.PacketID, code)
		})
	case packets.Pubcomp:
		c.b.m.Add("packets.pubcomp.received", 1)
		c.locked(func() {
			if !s.acked(pk.PacketID, 2) {
				c.b.m.Add("packets.pubcomp.missed", 1)
			}
		})
	case packets.Subscribe:
		return c.subscribe(pk)
	case packets.Unsubscribe:
		c.unsubscribe(pk)
	case packets.Pingreq:
		c.b.m.Add("packets.pingreq.received", 1)
		c.locked(func() {
			c.encode(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingresp}})
			c.b.m.Add("packets.pingresp.sent", 1)
		})
	case packets.Disconnect:
		c.b.m.Add("packets.disconnect.received", 1)
		if c.version == 5 && pk.Properties.SessionExpiryIntervalFlag {
			s.mu.Lock()
			if s.expiry != 0 {
				s.expiry = time.Duration(pk.Properties.SessionExpiryInterval) * time.Second
			}
			s.mu.Unlock()
		}
		if pk.ReasonCode == 0x04 {
			return errors.New("disconnect with will message")
		}
		return errGoodbye
	default:
		c.disconnect(0x82)
		return errProtocol
	}
	return nil
}

// locked runs under the session's lock, if it is still this connection's, and wakes the writer.
func (c *Conn) locked(f func()) {
	c.session.mu.Lock()
	if c.session.conn == c {
		f()
	}
	c.session.mu.Unlock()
	c.wake()
}

// encode appends a packet to the session's output. session.mu is held.
func (c *Conn) encode(pk *packets.Packet) {
	pk.ProtocolVersion = c.version
	out := &c.session.out
	var err error
	switch pk.FixedHeader.Type {
	case packets.Publish:
		c.b.m.Add("packets.publish.sent", 1)
		err = pk.PublishEncode(out)
	case packets.Suback:
		err = pk.SubackEncode(out)
	case packets.Unsuback:
		err = pk.UnsubackEncode(out)
	case packets.Pingresp:
		err = pk.PingrespEncode(out)
	case packets.Disconnect:
		err = pk.DisconnectEncode(out)
	}
	if err != nil {
		logf("error", "clientid: %s, msg: cannot_encode, reason: %v", c.client.ClientID, err)
		return
	}
	c.b.m.Add("packets.sent", 1)
	c.session.n.SendPkt++
}

var ackNames = map[byte]string{packets.Puback: "packets.puback.sent", packets.Pubrec: "packets.pubrec.sent",
	packets.Pubrel: "packets.pubrel.sent", packets.Pubcomp: "packets.pubcomp.sent"}

// answer sends an acknowledgement; 3.1.1 has no reason codes. The bytes are made here because
// mochi's encoder leaves out codes below 0x80, and 0x10 (no subscribers) is one. session.mu is held.
func (c *Conn) answer(kind byte, id uint16, code byte) {
	first := kind << 4
	if kind == packets.Pubrel {
		first |= 2
	}
	out := &c.session.out
	if c.version == 5 && code != 0 {
		out.Write([]byte{first, 3, byte(id >> 8), byte(id), code})
	} else {
		out.Write([]byte{first, 2, byte(id >> 8), byte(id)})
	}
	c.session.n.SendPkt++
	c.b.m.Add("packets.sent", 1)
	c.b.m.Add(ackNames[kind], 1)
}

func (c *Conn) publish(pk *packets.Packet) error {
	s, qos := c.session, pk.FixedHeader.Qos
	c.b.m.Add("packets.publish.received", 1)
	topic := pk.TopicName
	if alias := pk.Properties.TopicAlias; c.version == 5 && pk.Properties.TopicAliasFlag {
		if alias == 0 || topic == "" && c.aliases[alias] == "" {
			c.disconnect(0x94)
			return errProtocol
		}
		if topic == "" {
			topic = c.aliases[alias]
		} else {
			c.aliases[alias] = topic
		}
	}
	if !validTopicName(topic) || qos > 0 && pk.PacketID == 0 {
		c.disconnect(0x90)
		return errProtocol
	}
	if !c.b.auth.Authorize(c.client, actPublish, topic, qos, pk.FixedHeader.Retain) {
		c.b.m.Add("packets.publish.auth_error", 1)
		logf("warning", "clientid: %s, username: %s, topic: %s, msg: cannot_publish_to_topic_due_to_not_authorized", c.client.ClientID, c.client.Username, topic)
		if c.b.cfg.Str("authorization.deny_action", "ignore") == "disconnect" {
			c.disconnect(0x87)
			return errors.New("not_authorized")
		}
		c.locked(func() {
			s.n.RecvDropped++
			switch qos {
			case 1:
				c.answer(packets.Puback, pk.PacketID, 0x87)
			case 2:
				c.answer(packets.Pubrec, pk.PacketID, 0x87)
			}
		})
		return nil
	}
	if int(qos) > c.b.cfg.Int("mqtt.max_qos_allowed", 2) {
		c.disconnect(0x9B)
		return errProtocol
	}
	msg := &Message{ID: c.b.newID(), Topic: topic, Payload: pk.Payload, Qos: qos, Retain: pk.FixedHeader.Retain,
		From: c.client.ClientID, FromUser: c.client.Username, At: time.Now()}
	if c.version == 5 {
		msg.Props = forwarded(pk.Properties)
		if n := pk.Properties.MessageExpiryInterval; n > 0 {
			msg.Expires = msg.At.Add(time.Duration(n) * time.Second)
		}
	}
	c.b.m.Received(qos)
	if qos == 2 {
		refused := false
		c.locked(func() {
			if _, again := s.awaiting[pk.PacketID]; again {
				c.b.m.Add("packets.publish.inuse", 1)
				c.answer(packets.Pubrec, pk.PacketID, 0x91)
				refused = true
				return
			}
			if s.limits.AwaitingRel > 0 && len(s.awaiting) >= s.limits.AwaitingRel {
				refused = true
				go c.shutdown(&ending{0x93, "receive_maximum_exceeded"})
				return
			}
			s.awaiting[pk.PacketID] = msg.At
		})
		if refused {
			return nil
		}
	}
	taken := c.b.Publish(msg)
	if c.published++; c.published%activeN == 0 {
		runtime.Gosched()
	}
	c.locked(func() {
		s.n.RecvMsg++
		s.n.RecvQos[qos]++
		code := byte(0)
		if taken == 0 && c.version == 5 {
			code = 0x10
		}
		switch qos {
		case 1:
			c.answer(packets.Puback, pk.PacketID, code)
		case 2:
			c.answer(packets.Pubrec, pk.PacketID, code)
		}
	})
	return nil
}

func (c *Conn) subscribe(pk *packets.Packet) error {
	c.b.m.Add("packets.subscribe.received", 1)
	if len(pk.Filters) == 0 {
		c.disconnect(0x82)
		return errProtocol
	}
	codes := make([]byte, len(pk.Filters))
	var accepted []*Sub
	for i, f := range pk.Filters {
		_, real := splitShare(f.Filter)
		if !validTopicFilter(real) {
			c.disconnect(0x8F)
			return errProtocol
		}
		if !c.b.auth.Authorize(c.client, actSubscribe, real, f.Qos, false) {
			c.b.m.Add("packets.subscribe.auth_error", 1)
			logf("warning", "clientid: %s, username: %s, topic: %s, msg: cannot_subscribe_to_topic_due_to_not_authorized", c.client.ClientID, c.client.Username, f.Filter)
			if c.b.cfg.Str("authorization.deny_action", "ignore") == "disconnect" {
				c.disconnect(0x87)
				return errors.New("not_authorized")
			}
			codes[i] = 0x87
			if c.version != 5 {
				codes[i] = 0x80
			}
			continue
		}
		qos := min(f.Qos, byte(c.b.cfg.Int("mqtt.max_qos_allowed", 2)))
		codes[i] = qos
		sub := &Sub{Filter: f.Filter, Qos: qos, NL: f.NoLocal, RAP: f.RetainAsPublished, RH: f.RetainHandling}
		if len(pk.Properties.SubscriptionIdentifier) > 0 {
			sub.ID = pk.Properties.SubscriptionIdentifier[0]
		}
		accepted = append(accepted, sub)
	}
	c.locked(func() {
		c.encode(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Suback}, PacketID: pk.PacketID, ReasonCodes: codes})
		c.b.m.Add("packets.suback.sent", 1)
	})
	for _, sub := range accepted {
		c.b.m.Add("client.subscribe", 1)
		c.b.Subscribe(c.session, sub)
	}
	return nil
}

func (c *Conn) unsubscribe(pk *packets.Packet) {
	c.b.m.Add("packets.unsubscribe.received", 1)
	codes := make([]byte, len(pk.Filters))
	for i, f := range pk.Filters {
		c.b.m.Add("client.unsubscribe", 1)
		if !c.b.Unsubscribe(c.session, f.Filter) {
			codes[i] = 0x11
		}
	}
	c.locked(func() {
		c.encode(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, PacketID: pk.PacketID, ReasonCodes: codes})
		c.b.m.Add("packets.unsuback.sent", 1)
	})
}

// --- writing ----------------------------------------------------------------------------------------

func (c *Conn) wake() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// writer is the session's only way out while this connection lasts.
func (c *Conn) writer() {
	s := c.session
	var chunk []byte
	for {
		select {
		case <-c.done:
			return
		case <-c.signal:
		}
		s.mu.Lock()
		if s.conn != c {
			s.mu.Unlock()
			return
		}
		s.drain()
		chunk = append(chunk[:0], s.out.Bytes()...)
		s.out.Reset()
		if len(chunk) > 0 {
			s.n.SendOct += int64(len(chunk))
			s.n.SendCnt++
		}
		s.mu.Unlock()
		if len(chunk) > 0 {
			c.write(chunk)
		}
		if cap(chunk) > 4<<20 {
			chunk = nil
		}
	}
}

func (c *Conn) write(b []byte) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.b.m.Add("bytes.sent", int64(len(b)))
	_ = c.nc.SetWriteDeadline(time.Now().Add(15 * time.Second)) // tcp_options.send_timeout
	if _, err := c.nc.Write(b); err != nil {
		_ = c.nc.Close()
	}
}

// disconnect tells an MQTT 5 client why; 3.1.1 has no such packet.
func (c *Conn) disconnect(code byte) {
	if c.version != 5 || code == 0 {
		return
	}
	var buf bytes.Buffer
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ProtocolVersion: 5, ReasonCode: code}
	if pk.DisconnectEncode(&buf) == nil {
		c.b.m.Add("packets.disconnect.sent", 1)
		c.write(buf.Bytes())
	}
}

func (c *Conn) stop() { c.once.Do(func() { close(c.done) }) }

// shutdown ends the connection from outside. It does not wait for a client that does not read.
func (c *Conn) shutdown(cause *ending) {
	c.stop()
	if cause != nil {
		logf("info", "clientid: %s, msg: disconnecting, reason: %s", c.client.ClientID, cause.word)
		if cause.code != 0 {
			_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
			c.disconnect(cause.code)
		}
	}
	_ = c.nc.Close()
}
