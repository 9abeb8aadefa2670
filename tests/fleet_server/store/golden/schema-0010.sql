PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES('0010');
CREATE TABLE api_tokens (
	id VARCHAR NOT NULL, 
	secret_sha256 VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	team VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	created_by VARCHAR NOT NULL, 
	expires_at FLOAT NOT NULL, 
	last_used_at FLOAT, 
	revoked_at FLOAT, "group" VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO api_tokens VALUES('nuga5ezjxeex','171446dac8b74ae458c83a7b1c2d5d4227a535eb2a9fd9dde01d3dc475912ae3','operator','operator','',1795300948.7849609851,'test',1795304548.7849609851,1795301016.7849609851,NULL,'');
INSERT INTO api_tokens VALUES('56u08cph82pt','24fae32c7a69a39230ac68009fff9d92ada5df1171789bff16e2c8159c1dc876','operator','operator','',1795300948.7849609851,'test',1795304548.7849609851,1795300948.7849609851,NULL,'');
INSERT INTO api_tokens VALUES('fzjr54t82nx1','f9b5283f12178e60157cec029be09686fc89814eb211062ccd8eda97c28ff905','operator','operator','',1795300948.7849609851,'test',1795304548.7849609851,1795300948.7849609851,NULL,'');
INSERT INTO api_tokens VALUES('njeb89cjkbzk','3b30dee26c8de6d6813842d9f7c5a3823b86dfdf9a6aa96829bc07cb3016919b','operator','operator','',1795300948.7849609851,'test',1795304548.7849609851,1795300948.7849609851,NULL,'');
CREATE TABLE assertion_jtis (
	device VARCHAR NOT NULL, 
	jti VARCHAR NOT NULL, 
	expires_at FLOAT NOT NULL, 
	PRIMARY KEY (device, jti)
);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','bc2c8654388446c8b77130f4e4a0695c',1795301309.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','7ce5a412953c47a394744648760c1b10',1795301309.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','ca9e9b3eef53459ba554fa468a1cf24f',1795301309.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','8147beabced7489f9e6a21265a714647',1795301310.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','a0e9c5251ef042c68adfa9438666004f',1795301310.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','158ded5a5c9d4301b72f0e2dfecf2ec9',1795301310.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','33cfbd31553146b589c29d130ab8bdc5',1795301311.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','5bd856ef22614f308056a7aca6e5ea4e',1795301311.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','a98093237eda4a58921ec77341a3ab4b',1795301311.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','c9ccfd6a813e4aa08e07ef6acdf932fb',1795301312.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','e1b91cb157a540528a10546865196a0b',1795301312.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','8865c95d6ded404d8c61b79e254f58aa',1795301312.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','c0bbd0568981421bade51ea0c5657bc0',1795301313.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','ea2498515cb2485f894345c21bd34d3f',1795301313.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','0b1c867c262146768e5034b9fdf28a66',1795301313.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','05c3506177fe46abaaef5dac19f1731d',1795301314.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','f70bce44d00844e8a5d0342447eefc3a',1795301314.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','9d6baadcb1e946ecba37c8c11409250b',1795301314.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','0317887ba6254b19a8aec1add0dccbc7',1795301315.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','ce06100616ce4c698811d5900e0a63bb',1795301315.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','28c7e506c8864faa88e83033fac43ac8',1795301315.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','1d5c2647e67e4c2aab6f7be70fc2f8ce',1795301316.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','360193090d224c1ab9a324e082dfacf7',1795301316.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','d30b6958bee34816a0a1e68a3d5b2c7a',1795301316.0);
INSERT INTO assertion_jtis VALUES('dev-f294093d33','fbd74a9296d5471e8ce7970c232eb165',1795301317.0);
INSERT INTO assertion_jtis VALUES('dev-661bab957b','9b634c3b5a7242ed94305ce624c97f22',1795301317.0);
INSERT INTO assertion_jtis VALUES('dev-eddd694fdf','82ea236a73c84246889b9f436fed95e7',1795301317.0);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	time FLOAT NOT NULL, 
	actor VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	object VARCHAR NOT NULL, 
	"before" VARCHAR NOT NULL, 
	"after" VARCHAR NOT NULL, 
	prev_hash VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO audit VALUES(1,1795300948.7849609851,'token nuga5ezjxeex operator','group.create','group all','null','{"created_at":1795300948.784961,"created_by":"token nuga5ezjxeex operator","description":"","devices":0,"name":"all","revision":1,"selector":""}','0000000000000000000000000000000000000000000000000000000000000000','2b4408eacc922d0393465ad9a4806e6d33b6c60e11fd9bd097bd90285baa2c4d');
INSERT INTO audit VALUES(2,1795300948.7849609851,'token nuga5ezjxeex operator','group.create','group hq','null','{"created_at":1795300948.784961,"created_by":"token nuga5ezjxeex operator","description":"","devices":0,"name":"hq","revision":1,"selector":"site=hq"}','2b4408eacc922d0393465ad9a4806e6d33b6c60e11fd9bd097bd90285baa2c4d','cad6883abd34f4becfd011db7e33e75ea7a2512a614854be65a7a19a0da6947b');
INSERT INTO audit VALUES(3,1795300948.7849609851,'token 56u08cph82pt operator','enrollment-token.create','enrollment-token d64oumu2a53r','null','{"created_at":1795300948.784961,"created_by":"token 56u08cph82pt operator","device":"","expires_at":1795387348.784961,"group":"all","id":"d64oumu2a53r","labels":{"site":"hq"},"serial":"","used_at":null,"used_by":""}','cad6883abd34f4becfd011db7e33e75ea7a2512a614854be65a7a19a0da6947b','a4b41dac329a94a936b10a866e37f3e99951df9790aa63f320afeaf1bfe07cd8');
INSERT INTO audit VALUES(4,1795300948.7849609851,'enrollment-token d64oumu2a53r','device.enroll','device dev-f294093d33','null','{"certificate":"c2334d3067a08ef7cf51b56c2e9ff52acf282593b8264701234e9bee0748f267","group":"all","serial":""}','a4b41dac329a94a936b10a866e37f3e99951df9790aa63f320afeaf1bfe07cd8','140ef3389a7c9f8fde70d5c87e6bbc7fe131fd42ec13bf85c909912282243d6b');
INSERT INTO audit VALUES(5,1795300948.7849609851,'token fzjr54t82nx1 operator','enrollment-token.create','enrollment-token vsvar14bwmfs','null','{"created_at":1795300948.784961,"created_by":"token fzjr54t82nx1 operator","device":"","expires_at":1795387348.784961,"group":"all","id":"vsvar14bwmfs","labels":{"site":"hq"},"serial":"","used_at":null,"used_by":""}','140ef3389a7c9f8fde70d5c87e6bbc7fe131fd42ec13bf85c909912282243d6b','738adbd26aee9e045aed5ff225c658e89f6181a364c30c1595c6fe55d7fc190b');
INSERT INTO audit VALUES(6,1795300948.7849609851,'enrollment-token vsvar14bwmfs','device.enroll','device dev-661bab957b','null','{"certificate":"6c869affcab3d52484f3960fcf3650bfa704f1e18ce392f6828504b6657d5a03","group":"all","serial":""}','738adbd26aee9e045aed5ff225c658e89f6181a364c30c1595c6fe55d7fc190b','4270b537feb9be04d10734ed9f1dee87584c7a52cb517a7d178424fc2fa92617');
INSERT INTO audit VALUES(7,1795300948.7849609851,'token njeb89cjkbzk operator','enrollment-token.create','enrollment-token td72pq04mc9l','null','{"created_at":1795300948.784961,"created_by":"token njeb89cjkbzk operator","device":"","expires_at":1795387348.784961,"group":"all","id":"td72pq04mc9l","labels":{"site":"lab"},"serial":"","used_at":null,"used_by":""}','4270b537feb9be04d10734ed9f1dee87584c7a52cb517a7d178424fc2fa92617','fdd67724b59ac1996bd1b384cd463fc1c4c32982b49e618238a6163a7e6d7f11');
INSERT INTO audit VALUES(8,1795300948.7849609851,'enrollment-token td72pq04mc9l','device.enroll','device dev-eddd694fdf','null','{"certificate":"a4f2362a9de5459cf33516f65813b0a4acaa8f26cccd40aadbc9dc0125c163d2","group":"all","serial":""}','fdd67724b59ac1996bd1b384cd463fc1c4c32982b49e618238a6163a7e6d7f11','783bd8a61210d989c30b6e9284e1a2ce7f2f670313f842ff77479735ac7e59e5');
INSERT INTO audit VALUES(9,1795300948.7849609851,'token nuga5ezjxeex operator','rollout.start','rollout 1','null','{"abort":[{"action":"rollback","confidence":0.95,"failure":"all","min_executed":1,"threshold":0.1}],"allow_downgrade":false,"group":"all","on_failure":{"rollback":"all"},"rate":{"maximum_per_minute":1000},"release":"demo/motion@1.0.0","success":{"min_reachable_executed":80.0,"min_succeeded":1,"percent":95.0,"reachable_within":"7d"},"telemetry":{"report_every":"5m","report_every_in_probation":"10s"},"timeouts":{"in_progress":"4h","offer":"24h","silence":"1h"},"trial":{"commit_needs_link":false,"inferences":100,"max_class_distance":0.5,"max_error_ratio":0.02,"max_latency_ratio":2.0,"max_seconds":3600.0,"seconds":120.0},"waves":[{"bake":"5s","count":1,"name":"canary","then":"next"},{"bake":"0s","name":"rest","then":"next"}]}','783bd8a61210d989c30b6e9284e1a2ce7f2f670313f842ff77479735ac7e59e5','218a1bf197601f26e17d68901f751f44b8c294f88f168e5502f5ea61a9fdb2c3');
INSERT INTO audit VALUES(10,1795300955.7849609851,'server','release.production','release demo/motion@1.0.0','{"stage":"staging"}','{"gate_overridden":[],"reason":"rollout 1 has completed","stage":"production"}','218a1bf197601f26e17d68901f751f44b8c294f88f168e5502f5ea61a9fdb2c3','f151c40b2983082014811dd325d861d9676b920cd0470be07d58dd83390997c7');
INSERT INTO audit VALUES(11,1795301016.7849609851,'token nuga5ezjxeex operator','device.pin','device dev-f294093d33','null','{"by":"operator","device":"dev-f294093d33","ended":false,"model":"demo/other","reason":"demo unit","since":1795301016.784961,"until":null}','f151c40b2983082014811dd325d861d9676b920cd0470be07d58dd83390997c7','d83415dca2da71263a8a92b3870e9a411b0dba48f5122a955443ad7d46fa9164');
INSERT INTO audit VALUES(12,1795301016.7849609851,'token nuga5ezjxeex operator','rollout.start','rollout 2','null','{"abort":[{"action":"rollback","confidence":0.95,"failure":"all","min_executed":1,"threshold":0.1}],"allow_downgrade":false,"group":"all","on_failure":{"rollback":"all"},"rate":{"maximum_per_minute":1000},"release":"demo/motion@2.0.0","success":{"min_reachable_executed":80.0,"min_succeeded":1,"percent":95.0,"reachable_within":"7d"},"telemetry":{"report_every":"5m","report_every_in_probation":"10s"},"timeouts":{"in_progress":"4h","offer":"24h","silence":"1h"},"trial":{"commit_needs_link":false,"inferences":100,"max_class_distance":0.5,"max_error_ratio":0.02,"max_latency_ratio":2.0,"max_seconds":3600.0,"seconds":120.0},"waves":[{"bake":"5s","count":1,"name":"canary","then":"next"},{"bake":"0s","name":"rest","then":"next"}]}','d83415dca2da71263a8a92b3870e9a411b0dba48f5122a955443ad7d46fa9164','4c792714b777c3a1889cd80bdf690f6732840e39fd53a5fc7b7f01a7799ba79c');
CREATE TABLE devices (
	id VARCHAR NOT NULL, 
	serial VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	enrolled_at FLOAT NOT NULL, 
	profile VARCHAR NOT NULL, 
	agent VARCHAR NOT NULL, 
	boot VARCHAR NOT NULL, 
	clock VARCHAR NOT NULL, 
	desired_epoch INTEGER NOT NULL, 
	desired_counter INTEGER NOT NULL, 
	capabilities JSON NOT NULL, 
	resources JSON NOT NULL, 
	reported_at FLOAT, 
	last_seen FLOAT, 
	online BOOLEAN NOT NULL, 
	presence_session INTEGER NOT NULL, ended_at FLOAT, ended_reason VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO devices VALUES('dev-f294093d33','','active',1795300948.7849609851,'','0.1.0','b1','ntp',1,1795300948784,'{}','{}',1795300955.7849609851,1795300956.7849609851,0,0,NULL,'');
INSERT INTO devices VALUES('dev-661bab957b','','active',1795300948.7849609851,'','0.1.0','b1','ntp',1,1795300954784,'{}','{}',1795300955.7849609851,1795300956.7849609851,0,0,NULL,'');
INSERT INTO devices VALUES('dev-eddd694fdf','','active',1795300948.7849609851,'','0.1.0','b1','ntp',1,1795300954784,'{}','{}',1795300955.7849609851,1795300956.7849609851,0,0,NULL,'');
CREATE TABLE enrollment_tokens (
	id VARCHAR NOT NULL, 
	secret_sha256 VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	created_by VARCHAR NOT NULL, 
	expires_at FLOAT NOT NULL, 
	used_at FLOAT, 
	used_by VARCHAR NOT NULL, 
	revoked_at FLOAT, 
	device VARCHAR NOT NULL, 
	serial VARCHAR NOT NULL, 
	"group" VARCHAR NOT NULL, 
	labels JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO enrollment_tokens VALUES('d64oumu2a53r','c3c1bcb64941dee95ec62170f877390412dde28ada8b0320900650dd37121fe3',1795300948.7849609851,'token 56u08cph82pt operator',1795387348.7849609852,1795300948.7849609851,'dev-f294093d33',NULL,'','','all','{"site": "hq"}');
INSERT INTO enrollment_tokens VALUES('vsvar14bwmfs','4e5077f6c9019f94454c6ea9be14f7469dc5d1b7426575c14547202633b3a6e1',1795300948.7849609851,'token fzjr54t82nx1 operator',1795387348.7849609852,1795300948.7849609851,'dev-661bab957b',NULL,'','','all','{"site": "hq"}');
INSERT INTO enrollment_tokens VALUES('td72pq04mc9l','8cb36b4c903840f17f94a4ae94eacec64eea72fc0049050680f86e3c7dab96e4',1795300948.7849609851,'token njeb89cjkbzk operator',1795387348.7849609852,1795300948.7849609851,'dev-eddd694fdf',NULL,'','','all','{"site": "lab"}');
CREATE TABLE events (
	id INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	rollout VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	phase VARCHAR NOT NULL, 
	reason_code VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	received_at FLOAT NOT NULL, 
	body VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (device, "key")
);
INSERT INTO events VALUES(1,'dev-f294093d33','1/1/COMMITTED','update','demo/motion','1.0.0','1',1,'COMMITTED','golden_mismatch','2 of 8 golden vectors differ',1.0,1795300948.7849609851,'{"at":1.0,"attempt":1,"boot":"b1","device":"dev-f294093d33","index_sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305","key":"1/1/COMMITTED","kind":"update","manifest_sha256":"","model":"demo/motion","phase":"COMMITTED","reason":{"code":"golden_mismatch","evidence":{},"message":"2 of 8 golden vectors differ"},"rollout":"1","schema":"limosa.event/1","version":"1.0.0"}');
INSERT INTO events VALUES(2,'dev-661bab957b','1/1/COMMITTED','update','demo/motion','1.0.0','1',1,'COMMITTED','golden_mismatch','2 of 8 golden vectors differ',1.0,1795300954.7849609851,'{"at":1.0,"attempt":1,"boot":"b1","device":"dev-661bab957b","index_sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305","key":"1/1/COMMITTED","kind":"update","manifest_sha256":"","model":"demo/motion","phase":"COMMITTED","reason":{"code":"golden_mismatch","evidence":{},"message":"2 of 8 golden vectors differ"},"rollout":"1","schema":"limosa.event/1","version":"1.0.0"}');
INSERT INTO events VALUES(3,'dev-eddd694fdf','1/1/COMMITTED','update','demo/motion','1.0.0','1',1,'COMMITTED','golden_mismatch','2 of 8 golden vectors differ',1.0,1795300954.7849609851,'{"at":1.0,"attempt":1,"boot":"b1","device":"dev-eddd694fdf","index_sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305","key":"1/1/COMMITTED","kind":"update","manifest_sha256":"","model":"demo/motion","phase":"COMMITTED","reason":{"code":"golden_mismatch","evidence":{},"message":"2 of 8 golden vectors differ"},"rollout":"1","schema":"limosa.event/1","version":"1.0.0"}');
INSERT INTO events VALUES(4,'dev-f294093d33','hello','update','demo/motion','1.0.0','',1,'COMMITTED','','',1.0,1795300956.7849609851,'{"at":1.0,"attempt":1,"boot":"b1","device":"dev-f294093d33","index_sha256":"abababababababababababababababababababababababababababababababab","key":"hello","kind":"update","manifest_sha256":"","model":"demo/motion","phase":"COMMITTED","reason":{"code":"","evidence":{},"message":""},"rollout":"","schema":"limosa.event/1","version":"1.0.0"}');
INSERT INTO events VALUES(5,'dev-661bab957b','hello','update','demo/motion','1.0.0','',1,'COMMITTED','','',1.0,1795300956.7849609851,'{"at":1.0,"attempt":1,"boot":"b1","device":"dev-661bab957b","index_sha256":"abababababababababababababababababababababababababababababababab","key":"hello","kind":"update","manifest_sha256":"","model":"demo/motion","phase":"COMMITTED","reason":{"code":"","evidence":{},"message":""},"rollout":"","schema":"limosa.event/1","version":"1.0.0"}');
INSERT INTO events VALUES(6,'dev-eddd694fdf','hello','update','demo/motion','1.0.0','',1,'COMMITTED','','',1.0,1795300956.7849609851,'{"at":1.0,"attempt":1,"boot":"b1","device":"dev-eddd694fdf","index_sha256":"abababababababababababababababababababababababababababababababab","key":"hello","kind":"update","manifest_sha256":"","model":"demo/motion","phase":"COMMITTED","reason":{"code":"","evidence":{},"message":""},"rollout":"","schema":"limosa.event/1","version":"1.0.0"}');
CREATE TABLE groups (
	name VARCHAR NOT NULL, 
	selector VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	created_by VARCHAR NOT NULL, 
	revision INTEGER NOT NULL, devices INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "groups" VALUES('all','','',1795300948.7849609851,'token nuga5ezjxeex operator',4,3);
INSERT INTO "groups" VALUES('hq','site=hq','',1795300948.7849609851,'token nuga5ezjxeex operator',3,2);
CREATE TABLE inbox_marks (
	device VARCHAR NOT NULL, 
	session INTEGER NOT NULL, 
	mark INTEGER NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (device, session)
);
INSERT INTO inbox_marks VALUES('dev-f294093d33',7,19,1795300956.7849609851);
INSERT INTO inbox_marks VALUES('dev-661bab957b',7,7,1795300956.7849609851);
INSERT INTO inbox_marks VALUES('dev-eddd694fdf',7,7,1795300956.7849609851);
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	topic VARCHAR NOT NULL, 
	payload BLOB NOT NULL, 
	retain BOOLEAN NOT NULL, 
	expiry_s INTEGER, 
	created_at FLOAT NOT NULL
, answer_to VARCHAR DEFAULT '' NOT NULL, correlation VARCHAR DEFAULT '' NOT NULL);
INSERT INTO outbox VALUES(1,'limosa/v1/d/dev-f294093d33/desired',X'7b227061796c6f6164223a2265794a68645752706446396f5a57466b496a6f694969776959323931626e526c636949364d5463354e544d774d446b304f4463344e4377695a47563261574e6c496a6f695a4756324c5759794f5451774f544e6b4d7a4d694c434a6c6347396a614349364d5377695a58687761584a6c637949364d5463354e7a67354d6a6b304f43776961584e7a6457566b496a6f784e7a6b314d7a41774f5451344c434a746232526c62484d694f6c7437496d463064475674634851694f6a4573496d6c755a47563458334e6f595449314e694936496a6b794e5449785a6d4d7a59324a6b4f545930596d526a4f5759314f4452684f546b78596a67355a6d526b595745314e7a55305a57517859324d354e6d51325a4451794e4451314d7a4d344e6a5935597a457a4d4455694c434a746232526c496a6f6959574e3061585a6c496977696257396b5a5777694f694a6b5a5731764c32317664476c7662694973496e4a7662477876645851694f6949784969776964484a70595777694f6e73695932397462576c305832356c5a57527a58327870626d73694f6d5a6862484e6c4c434a70626d5a6c636d56755932567a496a6f784d444173496d31686546396a6247467a6331396b61584e305957356a5a5349364d4334314c434a74595868665a584a7962334a66636d4630615738694f6a41754d444973496d3168654639735958526c626d4e3558334a6864476c76496a6f794c6a4173496d31686546397a5a574e76626d527a496a6f7a4e6a41774c6a4173496e4e6c593239755a484d694f6a45794d43347766537769646d567963326c7662694936496a45754d433477496e31644c434a7a5932686c625745694f694a7361573176633245755a47567a61584a6c5a43387849697769644756735a57316c64484a35496a7037496e4a6c634739796446396c646d567965563970626c3977636d39695958527062323566637949364d5441754d437769636d567762334a30583256325a584a3558334d694f6a4d774d4334776658303d222c227061796c6f616454797065223a226170706c69636174696f6e2f766e642e6c696d6f73612e646573697265642b6a736f6e222c227369676e617475726573223a5b7b226b65796964223a2232663965613330643933616565323533613739623066313837643064383239353662633563653161656362306233653937363039656661306262333331336562222c22736967223a227755742b552b5a354b6e51554761673057637446375634474330336939536563746e6e5748624366434d484c596c6575515a576950434d65702b4e67464a675853504e6e6e45785359576e50487347637439677842513d3d227d5d7d',1,NULL,1795300948.7849609851,'','');
INSERT INTO outbox VALUES(3,'limosa/v1/d/dev-eddd694fdf/desired',X'7b227061796c6f6164223a2265794a68645752706446396f5a57466b496a6f694969776959323931626e526c636949364d5463354e544d774d446b314e4463344e4377695a47563261574e6c496a6f695a4756324c57566b5a4751324f54526d5a4759694c434a6c6347396a614349364d5377695a58687761584a6c637949364d5463354e7a67354d6a6b314e43776961584e7a6457566b496a6f784e7a6b314d7a41774f5455304c434a746232526c62484d694f6c7437496d463064475674634851694f6a4573496d6c755a47563458334e6f595449314e694936496a6b794e5449785a6d4d7a59324a6b4f545930596d526a4f5759314f4452684f546b78596a67355a6d526b595745314e7a55305a57517859324d354e6d51325a4451794e4451314d7a4d344e6a5935597a457a4d4455694c434a746232526c496a6f6959574e3061585a6c496977696257396b5a5777694f694a6b5a5731764c32317664476c7662694973496e4a7662477876645851694f6949784969776964484a70595777694f6e73695932397462576c305832356c5a57527a58327870626d73694f6d5a6862484e6c4c434a70626d5a6c636d56755932567a496a6f784d444173496d31686546396a6247467a6331396b61584e305957356a5a5349364d4334314c434a74595868665a584a7962334a66636d4630615738694f6a41754d444973496d3168654639735958526c626d4e3558334a6864476c76496a6f794c6a4173496d31686546397a5a574e76626d527a496a6f7a4e6a41774c6a4173496e4e6c593239755a484d694f6a45794d43347766537769646d567963326c7662694936496a45754d433477496e31644c434a7a5932686c625745694f694a7361573176633245755a47567a61584a6c5a43387849697769644756735a57316c64484a35496a7037496e4a6c634739796446396c646d567965563970626c3977636d39695958527062323566637949364d5441754d437769636d567762334a30583256325a584a3558334d694f6a4d774d4334776658303d222c227061796c6f616454797065223a226170706c69636174696f6e2f766e642e6c696d6f73612e646573697265642b6a736f6e222c227369676e617475726573223a5b7b226b65796964223a2232663965613330643933616565323533613739623066313837643064383239353662633563653161656362306233653937363039656661306262333331336562222c22736967223a2243503854545a6e637451627655716674305746616a3175674e4849536638474344477a6c42703773325a31786a5054666958577546393552434a45496d5365777753797a5671717962686b5238306c664244523041673d3d227d5d7d',1,NULL,1795300954.7849609851,'','');
INSERT INTO outbox VALUES(4,'limosa/v1/d/dev-661bab957b/desired',X'7b227061796c6f6164223a2265794a68645752706446396f5a57466b496a6f694969776959323931626e526c636949364d5463354e544d774d5441784e6a63344e4377695a47563261574e6c496a6f695a4756324c5459324d574a68596a6b314e3249694c434a6c6347396a614349364d5377695a58687761584a6c637949364d5463354e7a67354d7a41784e69776961584e7a6457566b496a6f784e7a6b314d7a41784d4445324c434a746232526c62484d694f6c7437496d463064475674634851694f6a4573496d6c755a47563458334e6f595449314e694936496d59794d6d46695a4459334e7a4e68596a497a4d6a67324f544d794d57466b4e4749785a54513359574d77597a6b774f475a6c596d59305a6a4e684d6d4a6b4d54426a4f4441324e6a45304d4759334e4445794e6a45694c434a746232526c496a6f6959574e3061585a6c496977696257396b5a5777694f694a6b5a5731764c32317664476c7662694973496e4a7662477876645851694f6949794969776964484a70595777694f6e73695932397462576c305832356c5a57527a58327870626d73694f6d5a6862484e6c4c434a70626d5a6c636d56755932567a496a6f784d444173496d31686546396a6247467a6331396b61584e305957356a5a5349364d4334314c434a74595868665a584a7962334a66636d4630615738694f6a41754d444973496d3168654639735958526c626d4e3558334a6864476c76496a6f794c6a4173496d31686546397a5a574e76626d527a496a6f7a4e6a41774c6a4173496e4e6c593239755a484d694f6a45794d43347766537769646d567963326c7662694936496a49754d433477496e31644c434a7a5932686c625745694f694a7361573176633245755a47567a61584a6c5a43387849697769644756735a57316c64484a35496a7037496e4a6c634739796446396c646d567965563970626c3977636d39695958527062323566637949364d5441754d437769636d567762334a30583256325a584a3558334d694f6a4d774d4334776658303d222c227061796c6f616454797065223a226170706c69636174696f6e2f766e642e6c696d6f73612e646573697265642b6a736f6e222c227369676e617475726573223a5b7b226b65796964223a2232663965613330643933616565323533613739623066313837643064383239353662633563653161656362306233653937363039656661306262333331336562222c22736967223a227961347250662b566e554b7a4654596d384a7a6c7350586d44466c32554b55427648776b414c6a73533846515756756b616142356d4a79572b6f6b634436434444524b414e4d67437854712b753769386339774541673d3d227d5d7d',1,NULL,1795301016.7849609851,'','');
CREATE TABLE refused_reports (
	device VARCHAR NOT NULL, 
	code VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	last_at FLOAT NOT NULL, 
	sample VARCHAR NOT NULL, 
	PRIMARY KEY (device, code)
);
CREATE TABLE releases (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	index_sha256 VARCHAR NOT NULL, 
	release_counter INTEGER NOT NULL, 
	may_return_to JSON NOT NULL, 
	min_agent VARCHAR NOT NULL, 
	stage VARCHAR NOT NULL, 
	published_at FLOAT NOT NULL, 
	published_by VARCHAR NOT NULL, 
	size_bytes INTEGER NOT NULL, retracted_at FLOAT, retracted_by VARCHAR DEFAULT '' NOT NULL, retract_reason VARCHAR DEFAULT '' NOT NULL, delisted BOOLEAN DEFAULT 0 NOT NULL, collected_at FLOAT, 
	PRIMARY KEY (id), 
	UNIQUE (model, version)
);
INSERT INTO releases VALUES(1,'demo/motion','1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305',1,'[]','0.1.0','production',1795300948.7849609851,'test',10,NULL,'','',0,NULL);
INSERT INTO releases VALUES(2,'demo/motion','2.0.0','f22abd6773ab232869321ad4b1e47ac0c908febf4f3a2bd10c8066140f741261',2,'[]','0.1.0','staging',1795300948.7849609851,'test',10,NULL,'','',0,NULL);
CREATE TABLE repository_blobs (
	repository VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	media_type VARCHAR NOT NULL, 
	pushed_at FLOAT NOT NULL, 
	PRIMARY KEY (repository, sha256)
);
CREATE TABLE repository_tags (
	repository VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (repository, tag)
);
CREATE TABLE rollouts (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	index_sha256 VARCHAR NOT NULL, 
	target VARCHAR NOT NULL, 
	spec JSON NOT NULL, 
	salt VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	pause VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	created_at FLOAT NOT NULL, 
	created_by VARCHAR NOT NULL, 
	ended_at FLOAT, 
	accepted_failures INTEGER NOT NULL, 
	stragglers INTEGER NOT NULL, 
	rollback_scope VARCHAR NOT NULL, 
	failed_wave INTEGER, 
	idempotency_key VARCHAR, 
	request_sha256 VARCHAR NOT NULL, 
	failing_since FLOAT, 
	failing_reason VARCHAR NOT NULL, priority INTEGER DEFAULT '0' NOT NULL, started_at FLOAT, follows BOOLEAN DEFAULT 0 NOT NULL, group_revision INTEGER DEFAULT '-1' NOT NULL, settled BOOLEAN DEFAULT 0 NOT NULL, stopping BOOLEAN DEFAULT 0 NOT NULL, resume_at FLOAT, bytes_free_at FLOAT DEFAULT '0.0' NOT NULL, lane VARCHAR DEFAULT 'active' NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (idempotency_key)
);
INSERT INTO rollouts VALUES(1,'demo/motion','1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','all','{"release": "demo/motion@1.0.0", "group": "all", "allow_downgrade": false, "waves": [{"name": "canary", "count": 1, "bake": "5s", "then": "next"}, {"name": "rest", "bake": "0s", "then": "next"}], "rate": {"maximum_per_minute": 1000}, "success": {"percent": 95.0, "min_succeeded": 1, "reachable_within": "7d", "min_reachable_executed": 80.0}, "abort": [{"failure": "all", "threshold": 0.1, "min_executed": 1, "confidence": 0.95, "action": "rollback"}], "trial": {"inferences": 100, "seconds": 120.0, "max_seconds": 3600.0, "max_error_ratio": 0.02, "max_latency_ratio": 2.0, "max_class_distance": 0.5, "commit_needs_link": false}, "telemetry": {"report_every": "5m", "report_every_in_probation": "10s"}, "timeouts": {"offer": "24h", "in_progress": "4h", "silence": "1h"}, "on_failure": {"rollback": "all"}}','1efbfd372753a7ca','4d05f378569aa1c28d1a2885538f69f6300131fb74f75b7a5e5ccf1c06df333c','COMPLETED','','3 of 3 executed devices run it',1795300955.7849609851,1795300948.7849609851,'token nuga5ezjxeex operator',1795300955.7849609851,0,0,'none',NULL,NULL,'db19359506a742142026126d116878761e52892bec581ac6fa40d3c2a0daf8ae',NULL,'',0,1795300948.7849609851,0,-1,0,0,NULL,0.0,'active');
INSERT INTO rollouts VALUES(2,'demo/motion','2.0.0','f22abd6773ab232869321ad4b1e47ac0c908febf4f3a2bd10c8066140f741261','all','{"release": "demo/motion@2.0.0", "group": "all", "allow_downgrade": false, "waves": [{"name": "canary", "count": 1, "bake": "5s", "then": "next"}, {"name": "rest", "bake": "0s", "then": "next"}], "rate": {"maximum_per_minute": 1000}, "success": {"percent": 95.0, "min_succeeded": 1, "reachable_within": "7d", "min_reachable_executed": 80.0}, "abort": [{"failure": "all", "threshold": 0.1, "min_executed": 1, "confidence": 0.95, "action": "rollback"}], "trial": {"inferences": 100, "seconds": 120.0, "max_seconds": 3600.0, "max_error_ratio": 0.02, "max_latency_ratio": 2.0, "max_class_distance": 0.5, "commit_needs_link": false}, "telemetry": {"report_every": "5m", "report_every_in_probation": "10s"}, "timeouts": {"offer": "24h", "in_progress": "4h", "silence": "1h"}, "on_failure": {"rollback": "all"}}','7e99b6c47f1c17db','036f7b412a03bbd6d4c0b0437cf2dc961df808b0eb7e62ad844d5a20c16d4a2f','RUNNING','','wave canary: 1 of 1 device not through',1795301016.7849609851,1795301016.7849609851,'token nuga5ezjxeex operator',NULL,0,0,'none',NULL,NULL,'55d7f8a2a3f9e7175507cdcb0fbe60179b801fee798d87ec90ad114c33e3f888',NULL,'',0,1795301016.7849609851,0,-1,0,0,NULL,0.0,'active');
CREATE TABLE tuf_roles (
	role VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	team VARCHAR NOT NULL, 
	body VARCHAR NOT NULL, 
	PRIMARY KEY (role)
);
INSERT INTO tuf_roles VALUES('targets',1795300948,'','{"signatures":[{"keyid":"3a79c6fb93187865d1f6f4031a50579f128ca1cf0ebf0f431ed53e1edecdeef2","sig":"30450220687bd35952f393f3b11a27ea198298a39b26c742097514e66a59854e1072e6c202210087d936ac1811e1b499ef5e902ca0ebb801f346fca2f7be4251723c043e2eb79a"}],"signed":{"_type":"targets","delegations":{"keys":{"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8":{"keytype":"ecdsa","keyval":{"public":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbIwx0rCQ5kjzbqXia/4IpyhN2MJQ\njAgIfjiVZY4vooKpTgFdzS9MYSR39of0z/ZWEr/Ji4rZy+RpX2m/LVHBxA==\n-----END PUBLIC KEY-----\n"},"scheme":"ecdsa-sha2-nistp256"}},"roles":[{"keyids":["9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8"],"name":"demo","paths":["demo/*/*/*"],"terminating":true,"threshold":1}]},"expires":"2027-05-20T22:42:28Z","spec_version":"1.0.34","targets":{"limosa/director.json":{"hashes":{"sha256":"b446f88f5cd420979b820fbcb1ac9e2102979b719f6294a29dc7d1c82815dc04"},"length":155}},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100e1ba9ac78229e22ad4ce2816cf634636c1666b469629ca4aa75e5447bf7b2d790220395f9fdb1bd20d60932a9133f8fa9d0b7dc90b7e069213c40162cd297329ad3e"}],"signed":{"_type":"targets","delegations":{"keys":{"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8":{"keytype":"ecdsa","keyval":{"public":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbIwx0rCQ5kjzbqXia/4IpyhN2MJQ\njAgIfjiVZY4vooKpTgFdzS9MYSR39of0z/ZWEr/Ji4rZy+RpX2m/LVHBxA==\n-----END PUBLIC KEY-----\n"},"scheme":"ecdsa-sha2-nistp256"}},"succinct_roles":{"bit_length":4,"keyids":["9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8"],"name_prefix":"demo-bins","threshold":1}},"expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-9',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-f',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-c',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-8',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-3',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-5',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-7',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-d',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-0',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-4',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-1',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-2',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-a',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-e',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-6',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
INSERT INTO tuf_roles VALUES('demo-bins-b',1795300948,'demo','{"signatures":[{"keyid":"9b5998b22e1ddabd7c7a0323231714e3b5c0e1f0fa4cc02e74305049c57bc3b8","sig":"3045022100be413609223602f3a525d315a8b8c4456d642f78869342e56ce589ed574df06c0220599e7d6c5faeec64ab2ce6039a0c4e07dab57a5265b7b762049c012bca05a41f"}],"signed":{"_type":"targets","expires":"2027-02-19T22:42:28Z","spec_version":"1.0.34","targets":{},"version":1795300948}}');
CREATE TABLE windows (
	id INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	boot VARCHAR NOT NULL, 
	window_index INTEGER NOT NULL, 
	baseline VARCHAR NOT NULL, 
	model_digest VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	rev INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	started_at FLOAT NOT NULL, 
	length_s FLOAT NOT NULL, 
	received_at FLOAT NOT NULL, 
	counters JSON NOT NULL, 
	body BLOB NOT NULL, latency JSON DEFAULT '[]' NOT NULL, classes JSON DEFAULT '[]' NOT NULL, memory_bytes BIGINT DEFAULT '0' NOT NULL, counted_rev INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (device, boot, window_index, baseline, model_digest)
);
INSERT INTO windows VALUES(1,'dev-f294093d33','b1',0,'1111111111111111','0000000000000000','demo/motion','1.0.0',2,9,1.0,10.0,1795300956.7849609851,'{"inferences": 9}',X'7b22626173656c696e65223a2231313131313131313131313131313131222c22626f6f74223a226231222c22636c6f636b223a226e7470222c22636f756e74657273223a7b22696e666572656e636573223a397d2c22646576696365223a226465762d66323934303933643333222c22696e646578223a302c226c656e6774685f73223a31302e302c226d6f64656c223a2264656d6f2f6d6f74696f6e222c226d6f64656c5f646967657374223a2230303030303030303030303030303030222c226e223a392c227061636b6564223a225932526b356c4a51594b41744141413d222c22726576223a322c22736368656d61223a226c696d6f73612e77696e646f772f31222c22737461727465645f6174223a312e302c22737461727465645f6d6f6e6f5f73223a302e302c2276657273696f6e223a22312e302e30227d','[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]','[0, 0, 0]',0,0);
INSERT INTO windows VALUES(2,'dev-661bab957b','b1',0,'1111111111111111','0000000000000000','demo/motion','1.0.0',2,9,1.0,10.0,1795300956.7849609851,'{"inferences": 9}',X'7b22626173656c696e65223a2231313131313131313131313131313131222c22626f6f74223a226231222c22636c6f636b223a226e7470222c22636f756e74657273223a7b22696e666572656e636573223a397d2c22646576696365223a226465762d36363162616239353762222c22696e646578223a302c226c656e6774685f73223a31302e302c226d6f64656c223a2264656d6f2f6d6f74696f6e222c226d6f64656c5f646967657374223a2230303030303030303030303030303030222c226e223a392c227061636b6564223a225932526b356c4a51594b41744141413d222c22726576223a322c22736368656d61223a226c696d6f73612e77696e646f772f31222c22737461727465645f6174223a312e302c22737461727465645f6d6f6e6f5f73223a302e302c2276657273696f6e223a22312e302e30227d','[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]','[0, 0, 0]',0,0);
INSERT INTO windows VALUES(3,'dev-eddd694fdf','b1',0,'1111111111111111','0000000000000000','demo/motion','1.0.0',2,9,1.0,10.0,1795300956.7849609851,'{"inferences": 9}',X'7b22626173656c696e65223a2231313131313131313131313131313131222c22626f6f74223a226231222c22636c6f636b223a226e7470222c22636f756e74657273223a7b22696e666572656e636573223a397d2c22646576696365223a226465762d65646464363934666466222c22696e646578223a302c226c656e6774685f73223a31302e302c226d6f64656c223a2264656d6f2f6d6f74696f6e222c226d6f64656c5f646967657374223a2230303030303030303030303030303030222c226e223a392c227061636b6564223a225932526b356c4a51594b41744141413d222c22726576223a322c22736368656d61223a226c696d6f73612e77696e646f772f31222c22737461727465645f6174223a312e302c22737461727465645f6d6f6e6f5f73223a302e302c2276657273696f6e223a22312e302e30227d','[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]','[0, 0, 0]',0,0);
CREATE TABLE assignments (
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	index_sha256 VARCHAR NOT NULL, 
	rollout VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	trial JSON NOT NULL, 
	report_every_s FLOAT NOT NULL, 
	report_every_in_probation_s FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, windows JSON DEFAULT '{}' NOT NULL, 
	PRIMARY KEY (device, model), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO assignments VALUES('dev-f294093d33','demo/motion','1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','1',1,'{"inferences": 100, "seconds": 120.0, "max_seconds": 3600.0, "max_error_ratio": 0.02, "max_latency_ratio": 2.0, "max_class_distance": 0.5, "commit_needs_link": false}',300.0,10.0,1795300948.7849609851,'{}');
INSERT INTO assignments VALUES('dev-661bab957b','demo/motion','2.0.0','f22abd6773ab232869321ad4b1e47ac0c908febf4f3a2bd10c8066140f741261','2',1,'{"inferences": 100, "seconds": 120.0, "max_seconds": 3600.0, "max_error_ratio": 0.02, "max_latency_ratio": 2.0, "max_class_distance": 0.5, "commit_needs_link": false}',300.0,10.0,1795301016.7849609851,'{}');
INSERT INTO assignments VALUES('dev-eddd694fdf','demo/motion','1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','1',1,'{"inferences": 100, "seconds": 120.0, "max_seconds": 3600.0, "max_error_ratio": 0.02, "max_latency_ratio": 2.0, "max_class_distance": 0.5, "commit_needs_link": false}',300.0,10.0,1795300954.7849609851,'{}');
CREATE TABLE decisions (
	id INTEGER NOT NULL, 
	rollout INTEGER NOT NULL, 
	wave INTEGER, 
	at FLOAT NOT NULL, 
	kind VARCHAR NOT NULL, 
	verdict VARCHAR NOT NULL, 
	sentence VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	inputs_sha256 VARCHAR NOT NULL, 
	numbers JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
INSERT INTO decisions VALUES(1,1,NULL,1795300948.7849609851,'started','RUNNING','3 devices in 2 waves','controller','d21043b951abc771b8c274e6ce7c8d0c87aeb080e79f3fd38ca2438a19531518','{"counts": {"QUEUED": 3}}');
INSERT INTO decisions VALUES(2,1,0,1795300948.7849609851,'wave_started','IN_PROGRESS','wave canary starts: 1 device','controller','d21043b951abc771b8c274e6ce7c8d0c87aeb080e79f3fd38ca2438a19531518','{"counts": {"QUEUED": 3}}');
INSERT INTO decisions VALUES(3,1,0,1795300949.7849609851,'through','BAKING','wave canary: 1 of 1 executed devices succeeded','controller','5971d775ff154ef0dc8c2093a8f06d19e825010382baa9c0541ec771fdaaf3e4','{"counts": {"SUCCEEDED": 1}, "moved_to_tail": 0}');
INSERT INTO decisions VALUES(4,1,0,1795300954.7849609851,'gate','PASSED','wave canary: 1 of 1 executed devices succeeded; 95 % are needed','controller','66c1674e443be2e88edc84f773c537f2cad95ee98a415ee551b6b8358693856a','{"wave": 0, "counts": {"SUCCEEDED": 1}, "executed": 1, "succeeded": 1, "percent": 95.0, "min_succeeded": 1}');
INSERT INTO decisions VALUES(5,1,1,1795300954.7849609851,'wave_started','IN_PROGRESS','wave rest starts: 2 devices','controller','0314ef50a244ac8670179710a93959ecb612f7a05c4ec1543e329d5ccaf6bd43','{"counts": {"QUEUED": 2, "SUCCEEDED": 1}}');
INSERT INTO decisions VALUES(6,1,1,1795300955.7849609851,'through','BAKING','wave rest: 2 of 2 executed devices succeeded','controller','dbfb1be0b9046bcc421ed794cb4d3020954b8634b7652e0f6d23b357ae1d9fc8','{"counts": {"SUCCEEDED": 2}, "moved_to_tail": 0}');
INSERT INTO decisions VALUES(7,1,1,1795300955.7849609851,'gate','PASSED','wave rest: 2 of 2 executed devices succeeded; 95 % are needed','controller','baa21f148e4d5defe953beafc3f7c9a2df5aaf21786cd10f72ea3688ec2ede6b','{"wave": 1, "counts": {"SUCCEEDED": 2}, "executed": 2, "succeeded": 2, "percent": 95.0, "min_succeeded": 1}');
INSERT INTO decisions VALUES(8,1,NULL,1795300955.7849609851,'completed','COMPLETED','3 of 3 executed devices run it','controller','d70707a4df6c83370949be81b45edbfcfcad351486d508e6d063718a356b0b35','{"counts": {"SUCCEEDED": 3}}');
INSERT INTO decisions VALUES(9,2,NULL,1795301016.7849609851,'started','RUNNING','3 devices in 2 waves','controller','d21043b951abc771b8c274e6ce7c8d0c87aeb080e79f3fd38ca2438a19531518','{"counts": {"QUEUED": 3}}');
INSERT INTO decisions VALUES(10,2,0,1795301016.7849609851,'wave_started','IN_PROGRESS','wave canary starts: 1 device','controller','d21043b951abc771b8c274e6ce7c8d0c87aeb080e79f3fd38ca2438a19531518','{"counts": {"QUEUED": 3}}');
CREATE TABLE desired_documents (
	device VARCHAR NOT NULL, 
	epoch INTEGER NOT NULL, 
	counter INTEGER NOT NULL, 
	envelope BLOB NOT NULL, 
	issued FLOAT NOT NULL, 
	expires FLOAT NOT NULL, keyid VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (device), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO desired_documents VALUES('dev-f294093d33',1,1795300948784,X'7b227061796c6f6164223a2265794a68645752706446396f5a57466b496a6f694969776959323931626e526c636949364d5463354e544d774d446b304f4463344e4377695a47563261574e6c496a6f695a4756324c5759794f5451774f544e6b4d7a4d694c434a6c6347396a614349364d5377695a58687761584a6c637949364d5463354e7a67354d6a6b304f43776961584e7a6457566b496a6f784e7a6b314d7a41774f5451344c434a746232526c62484d694f6c7437496d463064475674634851694f6a4573496d6c755a47563458334e6f595449314e694936496a6b794e5449785a6d4d7a59324a6b4f545930596d526a4f5759314f4452684f546b78596a67355a6d526b595745314e7a55305a57517859324d354e6d51325a4451794e4451314d7a4d344e6a5935597a457a4d4455694c434a746232526c496a6f6959574e3061585a6c496977696257396b5a5777694f694a6b5a5731764c32317664476c7662694973496e4a7662477876645851694f6949784969776964484a70595777694f6e73695932397462576c305832356c5a57527a58327870626d73694f6d5a6862484e6c4c434a70626d5a6c636d56755932567a496a6f784d444173496d31686546396a6247467a6331396b61584e305957356a5a5349364d4334314c434a74595868665a584a7962334a66636d4630615738694f6a41754d444973496d3168654639735958526c626d4e3558334a6864476c76496a6f794c6a4173496d31686546397a5a574e76626d527a496a6f7a4e6a41774c6a4173496e4e6c593239755a484d694f6a45794d43347766537769646d567963326c7662694936496a45754d433477496e31644c434a7a5932686c625745694f694a7361573176633245755a47567a61584a6c5a43387849697769644756735a57316c64484a35496a7037496e4a6c634739796446396c646d567965563970626c3977636d39695958527062323566637949364d5441754d437769636d567762334a30583256325a584a3558334d694f6a4d774d4334776658303d222c227061796c6f616454797065223a226170706c69636174696f6e2f766e642e6c696d6f73612e646573697265642b6a736f6e222c227369676e617475726573223a5b7b226b65796964223a2232663965613330643933616565323533613739623066313837643064383239353662633563653161656362306233653937363039656661306262333331336562222c22736967223a227755742b552b5a354b6e51554761673057637446375634474330336939536563746e6e5748624366434d484c596c6575515a576950434d65702b4e67464a675853504e6e6e45785359576e50487347637439677842513d3d227d5d7d',1795300948.0,1797892948.0,'2f9ea30d93aee253a79b0f187d0d82956bc5ce1aecb0b3e97609efa0bb3313eb');
INSERT INTO desired_documents VALUES('dev-661bab957b',1,1795301016784,X'7b227061796c6f6164223a2265794a68645752706446396f5a57466b496a6f694969776959323931626e526c636949364d5463354e544d774d5441784e6a63344e4377695a47563261574e6c496a6f695a4756324c5459324d574a68596a6b314e3249694c434a6c6347396a614349364d5377695a58687761584a6c637949364d5463354e7a67354d7a41784e69776961584e7a6457566b496a6f784e7a6b314d7a41784d4445324c434a746232526c62484d694f6c7437496d463064475674634851694f6a4573496d6c755a47563458334e6f595449314e694936496d59794d6d46695a4459334e7a4e68596a497a4d6a67324f544d794d57466b4e4749785a54513359574d77597a6b774f475a6c596d59305a6a4e684d6d4a6b4d54426a4f4441324e6a45304d4759334e4445794e6a45694c434a746232526c496a6f6959574e3061585a6c496977696257396b5a5777694f694a6b5a5731764c32317664476c7662694973496e4a7662477876645851694f6949794969776964484a70595777694f6e73695932397462576c305832356c5a57527a58327870626d73694f6d5a6862484e6c4c434a70626d5a6c636d56755932567a496a6f784d444173496d31686546396a6247467a6331396b61584e305957356a5a5349364d4334314c434a74595868665a584a7962334a66636d4630615738694f6a41754d444973496d3168654639735958526c626d4e3558334a6864476c76496a6f794c6a4173496d31686546397a5a574e76626d527a496a6f7a4e6a41774c6a4173496e4e6c593239755a484d694f6a45794d43347766537769646d567963326c7662694936496a49754d433477496e31644c434a7a5932686c625745694f694a7361573176633245755a47567a61584a6c5a43387849697769644756735a57316c64484a35496a7037496e4a6c634739796446396c646d567965563970626c3977636d39695958527062323566637949364d5441754d437769636d567762334a30583256325a584a3558334d694f6a4d774d4334776658303d222c227061796c6f616454797065223a226170706c69636174696f6e2f766e642e6c696d6f73612e646573697265642b6a736f6e222c227369676e617475726573223a5b7b226b65796964223a2232663965613330643933616565323533613739623066313837643064383239353662633563653161656362306233653937363039656661306262333331336562222c22736967223a227961347250662b566e554b7a4654596d384a7a6c7350586d44466c32554b55427648776b414c6a73533846515756756b616142356d4a79572b6f6b634436434444524b414e4d67437854712b753769386339774541673d3d227d5d7d',1795301016.0,1797893016.0,'2f9ea30d93aee253a79b0f187d0d82956bc5ce1aecb0b3e97609efa0bb3313eb');
INSERT INTO desired_documents VALUES('dev-eddd694fdf',1,1795300954784,X'7b227061796c6f6164223a2265794a68645752706446396f5a57466b496a6f694969776959323931626e526c636949364d5463354e544d774d446b314e4463344e4377695a47563261574e6c496a6f695a4756324c57566b5a4751324f54526d5a4759694c434a6c6347396a614349364d5377695a58687761584a6c637949364d5463354e7a67354d6a6b314e43776961584e7a6457566b496a6f784e7a6b314d7a41774f5455304c434a746232526c62484d694f6c7437496d463064475674634851694f6a4573496d6c755a47563458334e6f595449314e694936496a6b794e5449785a6d4d7a59324a6b4f545930596d526a4f5759314f4452684f546b78596a67355a6d526b595745314e7a55305a57517859324d354e6d51325a4451794e4451314d7a4d344e6a5935597a457a4d4455694c434a746232526c496a6f6959574e3061585a6c496977696257396b5a5777694f694a6b5a5731764c32317664476c7662694973496e4a7662477876645851694f6949784969776964484a70595777694f6e73695932397462576c305832356c5a57527a58327870626d73694f6d5a6862484e6c4c434a70626d5a6c636d56755932567a496a6f784d444173496d31686546396a6247467a6331396b61584e305957356a5a5349364d4334314c434a74595868665a584a7962334a66636d4630615738694f6a41754d444973496d3168654639735958526c626d4e3558334a6864476c76496a6f794c6a4173496d31686546397a5a574e76626d527a496a6f7a4e6a41774c6a4173496e4e6c593239755a484d694f6a45794d43347766537769646d567963326c7662694936496a45754d433477496e31644c434a7a5932686c625745694f694a7361573176633245755a47567a61584a6c5a43387849697769644756735a57316c64484a35496a7037496e4a6c634739796446396c646d567965563970626c3977636d39695958527062323566637949364d5441754d437769636d567762334a30583256325a584a3558334d694f6a4d774d4334776658303d222c227061796c6f616454797065223a226170706c69636174696f6e2f766e642e6c696d6f73612e646573697265642b6a736f6e222c227369676e617475726573223a5b7b226b65796964223a2232663965613330643933616565323533613739623066313837643064383239353662633563653161656362306233653937363039656661306262333331336562222c22736967223a2243503854545a6e637451627655716674305746616a3175674e4849536638474344477a6c42703773325a31786a5054666958577546393552434a45496d5365777753797a5671717962686b5238306c664244523041673d3d227d5d7d',1795300954.0,1797892954.0,'2f9ea30d93aee253a79b0f187d0d82956bc5ce1aecb0b3e97609efa0bb3313eb');
CREATE TABLE device_certificates (
	fingerprint VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	serial_number VARCHAR NOT NULL, 
	pem VARCHAR NOT NULL, 
	not_after FLOAT NOT NULL, 
	issued_at FLOAT NOT NULL, 
	revoked_at FLOAT, 
	PRIMARY KEY (fingerprint), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO device_certificates VALUES('c2334d3067a08ef7cf51b56c2e9ff52acf282593b8264701234e9bee0748f267','dev-f294093d33','2e578c0e6d9de16b08e65239ae866c4856b92630',replace('-----BEGIN CERTIFICATE-----\nMIIBuzCCAWKgAwIBAgIULleMDm2d4WsI5lI5roZsSFa5JjAwCgYIKoZIzj0EAwIw\nLDEPMA0GA1UECgwGTGltb3NhMRkwFwYDVQQDDBBMaW1vc2EgZGV2aWNlIENBMB4X\nDTI2MTEyMTIxNDIyOFoXDTI2MTIyMTIyNDIyOFowGTEXMBUGA1UEAwwOZGV2LWYy\nOTQwOTNkMzMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARqpl50Kp+SYxgoBN4O\nAgI7imWur2P42MhUvuYKMM0hcHedWh62+5mL0LAGG6JwS5JJ5Rg8YlDC/74KVFZa\n3+6fo3UwczAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDATBgNVHSUEDDAK\nBggrBgEFBQcDAjAdBgNVHQ4EFgQUzitbsNaShWUx8E9ayKruv3f8nuwwHwYDVR0j\nBBgwFoAU9/TRZH1sorJHHNb7AIaOg79fGiUwCgYIKoZIzj0EAwIDRwAwRAIgRiPy\noAnm0vQtgrXYWenFzF1ufT83KyundrM3bZn4hyECIDlu3NMiZouI+Fx1mZ5WIBfz\nhBmzKwOcjKdG3igBJEUe\n-----END CERTIFICATE-----\n','\n',char(10)),1797892948.7849609851,1795300948.7849609851,NULL);
INSERT INTO device_certificates VALUES('6c869affcab3d52484f3960fcf3650bfa704f1e18ce392f6828504b6657d5a03','dev-661bab957b','d5f2772c5b4aabcb2eaee4efdc508da1a4f95db',replace('-----BEGIN CERTIFICATE-----\nMIIBvDCCAWKgAwIBAgIUDV8ncsW0qryy6u5O/cUI2hpPldswCgYIKoZIzj0EAwIw\nLDEPMA0GA1UECgwGTGltb3NhMRkwFwYDVQQDDBBMaW1vc2EgZGV2aWNlIENBMB4X\nDTI2MTEyMTIxNDIyOFoXDTI2MTIyMTIyNDIyOFowGTEXMBUGA1UEAwwOZGV2LTY2\nMWJhYjk1N2IwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASy2VGztgGps4ID8DHV\n7eFm2o+FsBTElyCWJ855P9AnI5QELIxPgaT0jVyDTqVbqdqCMMrcpfqAa2ZGJ3up\nZG4/o3UwczAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDATBgNVHSUEDDAK\nBggrBgEFBQcDAjAdBgNVHQ4EFgQU7alCbT7Xd0Q7KhkkNATiJjLp21QwHwYDVR0j\nBBgwFoAU9/TRZH1sorJHHNb7AIaOg79fGiUwCgYIKoZIzj0EAwIDSAAwRQIhAO2Y\n50oeXORCB9FysmtA6ldCdVoQtWgZAtkW4mkCOe1yAiAXT+rsxIr5s6OfwBW07755\nl8obzoV1ZLS9dy9vQyeyAw==\n-----END CERTIFICATE-----\n','\n',char(10)),1797892948.7849609851,1795300948.7849609851,NULL);
INSERT INTO device_certificates VALUES('a4f2362a9de5459cf33516f65813b0a4acaa8f26cccd40aadbc9dc0125c163d2','dev-eddd694fdf','26482940ae78ac27ff919221ec1f01c4a483b4ae',replace('-----BEGIN CERTIFICATE-----\nMIIBvDCCAWKgAwIBAgIUJkgpQK54rCf/kZIh7B8BxKSDtK4wCgYIKoZIzj0EAwIw\nLDEPMA0GA1UECgwGTGltb3NhMRkwFwYDVQQDDBBMaW1vc2EgZGV2aWNlIENBMB4X\nDTI2MTEyMTIxNDIyOFoXDTI2MTIyMTIyNDIyOFowGTEXMBUGA1UEAwwOZGV2LWVk\nZGQ2OTRmZGYwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASXyQ+zSlwaoIE49d7j\nQkc6iL5wY8QoC88pvVRy0WDhLFLYDiXFAjei69sGCRBhduObyv5/3g6hatU2zk98\nV/ZUo3UwczAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDATBgNVHSUEDDAK\nBggrBgEFBQcDAjAdBgNVHQ4EFgQUKkXnsSrOiFTY1FWJDyG7cEhOr4AwHwYDVR0j\nBBgwFoAU9/TRZH1sorJHHNb7AIaOg79fGiUwCgYIKoZIzj0EAwIDSAAwRQIgDomn\nZqs5frf5zEC4Yt+BMVyGP18TReKN7V5lsIuNRpMCIQD4tsPKdthnVT35Xll7i37K\n+ucvGQKHIAYrIP9p/Qdj5Q==\n-----END CERTIFICATE-----\n','\n',char(10)),1797892948.7849609851,1795300948.7849609851,NULL);
CREATE TABLE device_labels (
	device VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	PRIMARY KEY (device, "key"), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO device_labels VALUES('dev-f294093d33','site','hq','token');
INSERT INTO device_labels VALUES('dev-661bab957b','site','hq','token');
INSERT INTO device_labels VALUES('dev-eddd694fdf','site','lab','token');
CREATE TABLE device_models (
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	phase VARCHAR NOT NULL, 
	active_version VARCHAR NOT NULL, 
	active_index VARCHAR NOT NULL, 
	active_manifest VARCHAR NOT NULL, 
	active_variant VARCHAR NOT NULL, 
	previous_version VARCHAR NOT NULL, 
	candidate_version VARCHAR NOT NULL, 
	candidate_index VARCHAR NOT NULL, 
	rollout VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	reason VARCHAR NOT NULL, 
	quarantined JSON NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (device, model), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO device_models VALUES('dev-f294093d33','demo/motion','COMMITTED','1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','0000000000000000000000000000000000000000000000000000000000000000','','','','','1',1,'','[]',1795300955.7849609851);
INSERT INTO device_models VALUES('dev-661bab957b','demo/motion','COMMITTED','1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','0000000000000000000000000000000000000000000000000000000000000000','','','','','1',1,'','[]',1795300955.7849609851);
INSERT INTO device_models VALUES('dev-eddd694fdf','demo/motion','COMMITTED','1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','0000000000000000000000000000000000000000000000000000000000000000','','','','','1',1,'','[]',1795300955.7849609851);
CREATE TABLE executions (
	rollout INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	wave INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	step VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	reason_code VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	attempt INTEGER NOT NULL, 
	offered_at FLOAT, 
	clock_from FLOAT NOT NULL, 
	away BOOLEAN NOT NULL, 
	from_version VARCHAR NOT NULL, 
	from_index VARCHAR NOT NULL, 
	committed BOOLEAN NOT NULL, 
	way_back VARCHAR NOT NULL, 
	return_version VARCHAR NOT NULL, 
	return_index VARCHAR NOT NULL, 
	document_epoch INTEGER NOT NULL, 
	document_counter INTEGER NOT NULL, size_bytes BIGINT DEFAULT '0' NOT NULL, verify_from FLOAT DEFAULT '0.0' NOT NULL, silent BOOLEAN DEFAULT 0 NOT NULL, not_before FLOAT, failed_as VARCHAR DEFAULT '' NOT NULL, failed_under JSON DEFAULT '{}' NOT NULL, due_at FLOAT, 
	PRIMARY KEY (rollout, device), 
	FOREIGN KEY(device) REFERENCES devices (id), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
INSERT INTO executions VALUES(1,'dev-f294093d33',0,'SUCCEEDED','committed','2 of 8 golden vectors differ','golden_mismatch',1795300948.7849609851,1,1795300948.7849609851,1795300948.7849609851,0,'','',1,'','','',1,1795300948784,10,0.0,0,NULL,'','{}',NULL);
INSERT INTO executions VALUES(1,'dev-661bab957b',1,'SUCCEEDED','committed','2 of 8 golden vectors differ','golden_mismatch',1795300954.7849609851,1,1795300954.7849609851,1795300954.7849609851,0,'','',1,'','','',1,1795300954784,10,0.0,0,NULL,'','{}',NULL);
INSERT INTO executions VALUES(1,'dev-eddd694fdf',1,'SUCCEEDED','committed','2 of 8 golden vectors differ','golden_mismatch',1795300954.7849609851,1,1795300954.7849609851,1795300954.7849609851,0,'','',1,'','','',1,1795300954784,10,0.0,0,NULL,'','{}',NULL);
INSERT INTO executions VALUES(2,'dev-661bab957b',0,'NOTIFIED','notified','offered','',1795301016.7849609851,1,1795301016.7849609851,1795301016.7849609851,0,'1.0.0','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305',0,'','','',1,1795301016784,10,0.0,0,NULL,'','{}',1795304556.7859609127);
INSERT INTO executions VALUES(2,'dev-f294093d33',1,'QUEUED','queued','','',1795301016.7849609851,1,NULL,1795301016.7849609851,0,'','',0,'','','',0,0,10,0.0,0,NULL,'','{}',1795304556.7859609127);
INSERT INTO executions VALUES(2,'dev-eddd694fdf',1,'QUEUED','queued','','',1795301016.7849609851,1,NULL,1795301016.7849609851,0,'','',0,'','','',0,0,10,0.0,0,NULL,'','{}',1795304556.7859609127);
CREATE TABLE memberships (
	"group" VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	PRIMARY KEY ("group", device), 
	FOREIGN KEY(device) REFERENCES devices (id), 
	FOREIGN KEY("group") REFERENCES groups (name)
);
INSERT INTO memberships VALUES('hq','dev-f294093d33',1795300948.7849609851);
INSERT INTO memberships VALUES('all','dev-f294093d33',1795300948.7849609851);
INSERT INTO memberships VALUES('hq','dev-661bab957b',1795300948.7849609851);
INSERT INTO memberships VALUES('all','dev-661bab957b',1795300948.7849609851);
INSERT INTO memberships VALUES('all','dev-eddd694fdf',1795300948.7849609851);
CREATE TABLE variants (
	id INTEGER NOT NULL, 
	release_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	manifest_sha256 VARCHAR NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	precision VARCHAR NOT NULL, 
	baseline_id VARCHAR NOT NULL, 
	requires JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(release_id) REFERENCES releases (id), 
	UNIQUE (release_id, manifest_sha256)
);
INSERT INTO variants VALUES(1,1,0,'v','0000000000000000000000000000000000000000000000000000000000000000',10,'','1111111111111111','{}');
INSERT INTO variants VALUES(2,2,0,'v','0000000000000000000000000000000000000000000000000000000000000000',10,'','1111111111111111','{}');
CREATE TABLE waves (
	rollout INTEGER NOT NULL, 
	"index" INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	bake_s FLOAT NOT NULL, 
	pause_after BOOLEAN NOT NULL, 
	size INTEGER NOT NULL, 
	tail BOOLEAN NOT NULL, 
	status VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	reason VARCHAR NOT NULL, 
	counts JSON NOT NULL, away JSON DEFAULT '{}' NOT NULL, silent INTEGER DEFAULT '0' NOT NULL, way_back JSON DEFAULT '{}' NOT NULL, judge VARCHAR DEFAULT 'criteria' NOT NULL, why_counts VARCHAR DEFAULT '' NOT NULL, looks INTEGER DEFAULT '0' NOT NULL, extended BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (rollout, "index"), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
INSERT INTO waves VALUES(1,0,'canary',5.0,0,1,0,'SUCCEEDED',1795300954.7849609851,'wave canary: 1 of 1 executed devices succeeded; 95 % are needed','{"SUCCEEDED": 1}','{}',0,'{}','criteria','its bake is shorter than two reports of a device',0,0);
INSERT INTO waves VALUES(1,1,'rest',0.0,0,2,0,'SUCCEEDED',1795300955.7849609851,'wave rest: 2 of 2 executed devices succeeded; 95 % are needed','{"SUCCEEDED": 2}','{}',0,'{}','criteria','its bake is shorter than two reports of a device',0,0);
INSERT INTO waves VALUES(1,2,'tail',0.0,0,0,1,'SUCCEEDED',1795300955.7849609851,'no device was left for it','{}','{}',0,'{}','criteria','',0,0);
INSERT INTO waves VALUES(2,0,'canary',5.0,0,1,0,'IN_PROGRESS',1795301016.7849609851,'its devices are offered the release','{"NOTIFIED": 1}','{}',0,'{}','criteria','its bake is shorter than two reports of a device',0,0);
INSERT INTO waves VALUES(2,1,'rest',0.0,0,2,0,'PENDING',0.0,'','{"QUEUED": 2}','{}',0,'{}','criteria','its bake is shorter than two reports of a device',0,0);
INSERT INTO waves VALUES(2,2,'tail',0.0,0,0,1,'PENDING',0.0,'','{}','{}',0,'{}','criteria','',0,0);
CREATE TABLE permits (
	model VARCHAR NOT NULL, 
	from_version VARCHAR NOT NULL, 
	to_version VARCHAR NOT NULL, 
	envelope BLOB NOT NULL, 
	added_at FLOAT NOT NULL, 
	added_by VARCHAR NOT NULL, 
	PRIMARY KEY (model, from_version, to_version)
);
CREATE TABLE rollout_approvals (
	rollout INTEGER NOT NULL, 
	actor VARCHAR NOT NULL, 
	verdict VARCHAR NOT NULL, 
	remark VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (rollout, actor), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
CREATE TABLE device_habits (
	device VARCHAR NOT NULL, 
	observed_to FLOAT NOT NULL, 
	spans_s JSON NOT NULL, 
	PRIMARY KEY (device), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
CREATE TABLE findings (
	rollout INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	index_sha256 VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	failed INTEGER NOT NULL, 
	executed INTEGER NOT NULL, 
	terms JSON NOT NULL, 
	slice_failed INTEGER NOT NULL, 
	slice_executed INTEGER NOT NULL, 
	p FLOAT NOT NULL, 
	profiles JSON NOT NULL, 
	reasons JSON NOT NULL, 
	sentence VARCHAR NOT NULL, 
	bad BOOLEAN NOT NULL, 
	PRIMARY KEY (rollout)
);
CREATE TABLE pins (
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	until FLOAT, 
	"by" VARCHAR NOT NULL, 
	PRIMARY KEY (device, model), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO pins VALUES('dev-f294093d33','demo/other','demo unit',1795301016.7849609851,NULL,'operator');
CREATE TABLE cohorts (
	rollout INTEGER NOT NULL, 
	wave INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	arm VARCHAR NOT NULL, 
	stratum VARCHAR NOT NULL, 
	PRIMARY KEY (rollout, wave, device), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
CREATE TABLE decision_inputs (
	decision INTEGER NOT NULL, 
	body BLOB NOT NULL, 
	PRIMARY KEY (decision), 
	FOREIGN KEY(decision) REFERENCES decisions (id)
);
CREATE TABLE shadow_assignments (
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	index_sha256 VARCHAR NOT NULL, 
	rollout INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	report_every_s FLOAT NOT NULL, 
	report_every_in_probation_s FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (device, model), 
	FOREIGN KEY(device) REFERENCES devices (id), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
CREATE TABLE arms (
	rollout INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	arm VARCHAR NOT NULL, 
	stratum VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	"before" JSON NOT NULL, 
	PRIMARY KEY (rollout, device), 
	FOREIGN KEY(device) REFERENCES devices (id), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
CREATE TABLE shadow_windows (
	device VARCHAR NOT NULL, 
	boot VARCHAR NOT NULL, 
	window_index BIGINT NOT NULL, 
	model_digest VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	rev BIGINT NOT NULL, 
	received_at FLOAT NOT NULL, 
	compared BIGINT NOT NULL, 
	disagreed BIGINT NOT NULL, 
	dropped BIGINT NOT NULL, 
	sketch JSON NOT NULL, 
	PRIMARY KEY (device, boot, window_index, model_digest)
);
CREATE TABLE kpi_windows (
	device VARCHAR NOT NULL, 
	boot VARCHAR NOT NULL, 
	window_index BIGINT NOT NULL, 
	model_digest VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	rev BIGINT NOT NULL, 
	received_at FLOAT NOT NULL, 
	kpi VARCHAR NOT NULL, 
	n BIGINT NOT NULL, 
	total FLOAT NOT NULL, 
	squares FLOAT NOT NULL, 
	bins JSON NOT NULL, 
	PRIMARY KEY (device, boot, window_index, model_digest, kpi)
);
CREATE TABLE shadow_counts (
	rollout INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	compared BIGINT NOT NULL, 
	disagreed BIGINT NOT NULL, 
	dropped BIGINT NOT NULL, 
	PRIMARY KEY (rollout, device), 
	FOREIGN KEY(device) REFERENCES devices (id), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
CREATE TABLE arm_kpis (
	rollout INTEGER NOT NULL, 
	kpi VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	n BIGINT NOT NULL, 
	total FLOAT NOT NULL, 
	squares FLOAT NOT NULL, 
	PRIMARY KEY (rollout, kpi, device), 
	FOREIGN KEY(device) REFERENCES devices (id), 
	FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
CREATE TABLE device_kpis (
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	kpi VARCHAR NOT NULL, 
	n BIGINT NOT NULL, 
	total FLOAT NOT NULL, 
	squares FLOAT NOT NULL, 
	PRIMARY KEY (device, model, version, kpi)
);
CREATE TABLE release_steps (
	id INTEGER NOT NULL, 
	release_id INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	what VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(release_id) REFERENCES releases (id)
);
INSERT INTO release_steps VALUES(1,1,1795300955.7849609851,'production','server','rollout 1 has completed');
CREATE TABLE promotion_gates (
	scope VARCHAR NOT NULL, 
	rules JSON NOT NULL, 
	updated_at FLOAT NOT NULL, 
	updated_by VARCHAR NOT NULL, 
	PRIMARY KEY (scope)
);
CREATE TABLE release_devices (
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	index_sha256 VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	PRIMARY KEY (device, model)
);
INSERT INTO release_devices VALUES('dev-f294093d33','demo/motion','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','1.0.0',1795300948.7849609851);
INSERT INTO release_devices VALUES('dev-661bab957b','demo/motion','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','1.0.0',1795300954.7849609851);
INSERT INTO release_devices VALUES('dev-eddd694fdf','demo/motion','92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','1.0.0',1795300954.7849609851);
CREATE TABLE release_counts (
	index_sha256 VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	devices INTEGER NOT NULL, 
	PRIMARY KEY (index_sha256)
);
INSERT INTO release_counts VALUES('92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305','demo/motion','1.0.0',3);
CREATE TABLE alerts (
	id INTEGER NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	rule VARCHAR NOT NULL, 
	severity VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	labels JSON NOT NULL, 
	summary VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	capped BOOLEAN NOT NULL, 
	devices JSON NOT NULL, 
	link VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	fired_at FLOAT, 
	resolved_at FLOAT, 
	told_at FLOAT, 
	silence INTEGER, 
	PRIMARY KEY (id)
);
CREATE TABLE silences (
	id INTEGER NOT NULL, 
	matcher VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	until FLOAT NOT NULL, 
	created_at FLOAT NOT NULL, 
	created_by VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE alert_rules (
	id INTEGER NOT NULL, 
	rules JSON NOT NULL, 
	revision INTEGER NOT NULL, 
	updated_at FLOAT NOT NULL, 
	updated_by VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE device_troubles (
	device VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	cause VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	PRIMARY KEY (device, kind, model)
);
CREATE TABLE webhooks (
	name VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	severity VARCHAR NOT NULL, 
	matcher VARCHAR NOT NULL, 
	salt VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	created_by VARCHAR NOT NULL, 
	delivered_at FLOAT, 
	failed_at FLOAT, 
	failure VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	message VARCHAR NOT NULL, 
	webhook VARCHAR NOT NULL, 
	alert INTEGER NOT NULL, 
	event VARCHAR NOT NULL, 
	body BLOB NOT NULL, 
	created_at FLOAT NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_at FLOAT, 
	failure VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(webhook) REFERENCES webhooks (name)
);
CREATE TABLE audit_heads (
	seq INTEGER NOT NULL, 
	hash VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	envelope VARCHAR NOT NULL, 
	PRIMARY KEY (seq)
);
CREATE TABLE trust_items (
	name VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	public_pem VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE second_person_asks (
	id VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	object VARCHAR NOT NULL, 
	detail_sha256 VARCHAR NOT NULL, 
	asked_by VARCHAR NOT NULL, 
	asked_name VARCHAR NOT NULL, 
	asked_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	done_by VARCHAR NOT NULL, 
	done_at FLOAT, 
	PRIMARY KEY (id)
);
CREATE TABLE label_sources (
	device VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY (device, "key", source), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO label_sources VALUES('dev-f294093d33','site','token','hq');
INSERT INTO label_sources VALUES('dev-661bab957b','site','token','hq');
INSERT INTO label_sources VALUES('dev-eddd694fdf','site','token','lab');
CREATE TABLE commands (
	id VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	asked JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	created_by VARCHAR NOT NULL, 
	expires_at FLOAT NOT NULL, 
	state VARCHAR NOT NULL, 
	why VARCHAR NOT NULL, 
	cut BOOLEAN NOT NULL, 
	answered_at FLOAT, 
	answer JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(device) REFERENCES devices (id)
);
CREATE TABLE device_days (
	device VARCHAR NOT NULL, 
	day INTEGER NOT NULL, 
	model_digest VARCHAR NOT NULL, 
	baseline VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	windows INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	length_s FLOAT NOT NULL, 
	counters JSON NOT NULL, 
	sketch BLOB NOT NULL, 
	PRIMARY KEY (device, day, model_digest, baseline)
);
CREATE TABLE cohort_hours (
	model VARCHAR NOT NULL, 
	hour INTEGER NOT NULL, 
	model_digest VARCHAR NOT NULL, 
	baseline VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	windows INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	length_s FLOAT NOT NULL, 
	counters JSON NOT NULL, 
	sketch BLOB NOT NULL, 
	PRIMARY KEY (model, hour, model_digest, baseline)
);
CREATE TABLE retention_marks (
	name VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	"row" INTEGER NOT NULL, 
	removed INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE event_quotas (
	device VARCHAR NOT NULL, 
	day INTEGER NOT NULL, 
	count INTEGER NOT NULL, 
	dropped INTEGER NOT NULL, 
	PRIMARY KEY (device)
);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('outbox',4);
CREATE INDEX ix_assertion_jtis_expires_at ON assertion_jtis (expires_at);
CREATE INDEX ix_audit_action ON audit (action);
CREATE INDEX ix_audit_object ON audit (object);
CREATE INDEX ix_devices_last_seen ON devices (last_seen);
CREATE INDEX ix_devices_state ON devices (state);
CREATE INDEX ix_events_device ON events (device);
CREATE INDEX ix_events_model ON events (model);
CREATE INDEX ix_events_received_at ON events (received_at);
CREATE INDEX ix_events_rollout ON events (rollout);
CREATE INDEX ix_releases_index_sha256 ON releases (index_sha256);
CREATE INDEX ix_releases_model ON releases (model);
CREATE INDEX ix_releases_stage ON releases (stage);
CREATE INDEX ix_rollouts_index_sha256 ON rollouts (index_sha256);
CREATE INDEX ix_rollouts_model ON rollouts (model);
CREATE INDEX ix_rollouts_status ON rollouts (status);
CREATE INDEX ix_tuf_roles_team ON tuf_roles (team);
CREATE INDEX ix_windows_received_at ON windows (received_at);
CREATE INDEX ix_decisions_rollout ON decisions (rollout);
CREATE INDEX ix_desired_documents_expires ON desired_documents (expires);
CREATE INDEX ix_device_certificates_device ON device_certificates (device);
CREATE INDEX ix_device_labels_value ON device_labels (value);
CREATE INDEX ix_device_models_active_version ON device_models (active_version);
CREATE INDEX executions_offered ON executions (rollout, offered_at);
CREATE INDEX ix_executions_device ON executions (device);
CREATE INDEX ix_memberships_device ON memberships (device);
CREATE INDEX ix_variants_release_id ON variants (release_id);
CREATE INDEX ix_findings_model ON findings (model);
CREATE INDEX ix_findings_index_sha256 ON findings (index_sha256);
CREATE INDEX ix_pins_until ON pins (until);
CREATE INDEX executions_open ON executions (rollout, wave, state, away, device);
CREATE INDEX executions_due ON executions (rollout, due_at);
CREATE INDEX executions_way_back ON executions (rollout, way_back);
CREATE INDEX ix_shadow_assignments_rollout ON shadow_assignments (rollout);
CREATE INDEX ix_arms_device ON arms (device);
CREATE INDEX shadow_windows_of ON shadow_windows (model, version, received_at);
CREATE INDEX ix_shadow_windows_received_at ON shadow_windows (received_at);
CREATE INDEX ix_kpi_windows_received_at ON kpi_windows (received_at);
CREATE INDEX ix_release_steps_release_id ON release_steps (release_id);
CREATE INDEX release_devices_index ON release_devices (index_sha256, device);
CREATE INDEX ix_release_counts_model ON release_counts (model);
CREATE INDEX ix_alerts_fingerprint ON alerts (fingerprint);
CREATE INDEX ix_alerts_resolved_at ON alerts (resolved_at);
CREATE INDEX ix_alerts_state ON alerts (state);
CREATE INDEX ix_silences_until ON silences (until);
CREATE INDEX device_troubles_kind ON device_troubles (kind, since);
CREATE INDEX ix_deliveries_webhook ON deliveries (webhook);
CREATE INDEX deliveries_due ON deliveries (next_at);
CREATE INDEX ix_device_certificates_not_after ON device_certificates (not_after);
CREATE INDEX ix_second_person_asks_expires_at ON second_person_asks (expires_at);
CREATE INDEX device_labels_pair ON device_labels ("key", value);
CREATE INDEX memberships_since ON memberships ("group", since);
CREATE INDEX ix_commands_device ON commands (device);
CREATE INDEX ix_commands_created_at ON commands (created_at);
CREATE INDEX windows_by_time ON windows (model, started_at);
CREATE INDEX ix_device_days_day ON device_days (day);
COMMIT;
