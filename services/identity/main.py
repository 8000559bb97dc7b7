"""Start identity: databases, keys, two servers, and the work beside them."""

import zoneinfo
from contextlib import AsyncExitStack
from datetime import timedelta

from tessera.identity.v1 import client_service_pb2, member_service_pb2

from services.chassis import auth, clock, database, guesses, hotstore, outbox, streams
from services.chassis.server import Server
from services.identity import bootstrap, consumer, engine, oauth, scopes, servicer, storage
from services.identity.config import Settings


async def main(settings: Settings) -> None:
    """Run identity until the process is told to stop. Raises ConfigError."""
    async with AsyncExitStack() as stack:
        box = bootstrap.read_vault(settings.master_key_file)
        db = await stack.enter_async_context(database.Database.open(settings.database))
        hot = await stack.enter_async_context(hotstore.Hotstore.open(settings.hotstore))
        members = storage.MemberStorage(db, box)
        contexts = storage.ContextStorage(db, box)
        clients = storage.ClientStorage(db)
        known = scopes.known()
        await bootstrap.check_master_key(db, box)
        await bootstrap.install_clients(
            settings.clients,
            clients,
            box,
            known=known,
            overlap=timedelta(seconds=settings.secret_overlap_s),
            now=clock.system,
        )
        keyring = oauth.Keyring(
            storage.SigningKeyStorage(db, box),
            settings.tokens.key_policy,
            now=clock.system,
            reload_s=settings.tokens.reload_s,
        )
        terms = oauth.Terms(
            issuer=settings.auth.issuer,
            audience=settings.auth.audience,
            life=settings.tokens.key_policy.token_life,
            attempts=settings.tokens.attempts_max,
        )
        counted = guesses.Guesses(hot, "identity")
        issuer = oauth.Issuer(clients, box, keyring, terms, counted, now=clock.system)
        app = oauth.application(settings, issuer, keyring, scopes=known, ping=db.ping)
        relay = outbox.Relay(db, hot, role="identity")
        handler = consumer.PurchaseHandler(storage.ActivityStorage(db))
        purchases = streams.Consumer(
            hot,
            stream=consumer.STREAM,
            group=consumer.GROUP,
            handler=handler.handle,
            together=handler.handle_all,
        )
        rules = engine.members.Rules(
            phone_region=settings.phone_region,
            language_code=settings.language_code,
            virtual_card_prefix=settings.virtual_card_prefix,
            time_zones=frozenset(zoneinfo.available_timezones()),
        )
        server = Server(
            "identity",
            settings.server,
            verifier=auth.Verifier(settings.auth, fetch=keyring.document),
            checks={"postgresql": db.ping},
        )
        server.add(
            servicer.MemberServicer(
                members, contexts, box, rules, now=clock.system, nudge=relay.nudge
            ),
            member_service_pb2.DESCRIPTOR.services_by_name["MemberService"],
            low_priority={"UpdateSegment"},
        )
        server.add(
            servicer.ClientServicer(clients, box, scopes=known, now=clock.system),
            client_service_pb2.DESCRIPTOR.services_by_name["ClientService"],
            low_priority={"ListClients"},
        )
        server.background("relay", relay.run)
        server.background("keys", keyring.run)
        server.background("purchases", purchases.run)
        await stack.enter_async_context(oauth.serve(app, settings.http))
        await server.serve()
