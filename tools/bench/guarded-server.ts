import 'reflect-metadata';
import { Controller, Get, Injectable, Module, UseGuards, type CanActivate } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { KeyGuard, KeyGuardModule, RequireScope } from '#key-guard';

// A NestJS server on Fastify with the same route thrice: under the key guard, under one that lets all pass, and open.
const [port = '0', keyService = '', token = ''] = process.argv.slice(2);

const answer = { data: [{ id: 'rpt_1', title: 'Opening balance' }], nextCursor: null };

/** The least that a guard of NestJS can do. */
@Injectable()
class Nodding implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

@Controller()
class Routes {
  @Get('guarded')
  @UseGuards(KeyGuard)
  @RequireScope('reports:read')
  guarded() {
    return answer;
  }

  @Get('nodded')
  @UseGuards(Nodding)
  nodded() {
    return answer;
  }

  @Get('open')
  open() {
    return answer;
  }
}

@Module({
  imports: [
    KeyGuardModule.forRoot({
      urls: [keyService],
      token: () => Promise.resolve(token),
      service: 'service-a',
      everyRoute: false,
    }),
  ],
  controllers: [Routes],
})
class BenchModule {}

const app = await NestFactory.create<NestFastifyApplication>(BenchModule, new FastifyAdapter(), {
  logger: false,
});
app.enableShutdownHooks();
await app.listen(Number(port), '127.0.0.1');
process.send?.('ready');
